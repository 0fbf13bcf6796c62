"""What came of a call, shaped for a model: what was printed, pictures, files, and what to do next. Pure.

There is no `structuredContent`: clients that get it drop the pictures and texts beside it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Iterator, Mapping

from pyexec import units
from pyexec.api import import_advice, response
from pyexec.api.mcp import files
from pyexec.api.mcp.jsonrpc import Blob
from pyexec.api.mcp.tool import NAMED_CHARS, PICTURE_BYTES
from pyexec.api.response import Done
from pyexec.config import Config
from pyexec.errors import ForbiddenImportError, PyexecError, RateLimitExceeded, ServerBusy
from pyexec.job import FORBIDDEN, OutputFile
from pyexec.limits import Quota

_MARK_CHARS = 60  # that the note in the middle of a cut text may have
_MOST_NAMED = 20
_ERROR_LINES, _ERROR_CHARS, _VALUE_CHARS = 3, 300, 90
NO_OUTPUT = "No output; print what you want to see."


@dataclass
class Shaped:
    """A result's blocks, with the contents that stand in them as Base64, in order."""

    is_error: bool
    content: list[Mapping[str, Any]] = field(default_factory=list)
    blobs: list[Blob] = field(default_factory=list)

    @property
    def document(self) -> dict[str, Any]:
        """The result of `tools/call`."""
        return {"content": self.content, "isError": self.is_error}


def of_error(error: PyexecError, hint: str | None = None, quota: Quota | None = None) -> Shaped:
    """Return the result of a call that was refused; `quota` is that of a caller who has one."""
    return Shaped(True, [_text_block("\n".join(filter(None, [_message(error, quota), hint])))])


def of_run(done: Done, hint: str | None, named: bool, config: Config) -> Shaped:
    """Return the result of a run.

    Args:
        named: whether the caller said which files are to come back, so that these come whole, as text or attached.
    """
    error = response.error_of(done.outcome, config, done.job)
    if error is not None and done.outcome.verdict == FORBIDDEN:
        return of_error(error, hint)  # a script that was refused for its imports has no say in its answer
    details = response.execution_details(done)
    shaped = Shaped(not details["success"])
    printed = _printed(details, config)
    lines = [*printed, *_failure(details, error), *filter(None, [hint])]
    left = NAMED_CHARS if named else config.mcp_chars - sum(map(len, lines))
    notes = list(_files(done.outcome.files, named, left, shaped)) + _not_returned(done, details)
    if not printed and not lines and not shaped.content:
        lines.append(NO_OUTPUT)
    shaped.content.insert(0, _text_block("\n".join([*lines, *notes])))
    return shaped


def _text_block(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _message(error: PyexecError, quota: Quota | None) -> str:
    """Return an error in words that say when to go on, where waiting is all there is to do."""
    if not isinstance(error, (RateLimitExceeded, ServerBusy)):
        message = error.message
        if isinstance(error, ForbiddenImportError):
            message = message.replace(import_advice.WHERE_ALL, "The tool's description lists all modules.")
        return f"{error.type}: {message}"
    what = error.message.rstrip(".").partition("; try again")[0]
    limits = {} if quota is None else {"minute": quota.minute_limit, "day": quota.daily_limit}
    count = limits.get(error.limit_name)
    if count is not None:
        what = f"{units.count(count, 'run')} a {error.limit_name} {'is' if count == 1 else 'are'} used up"
    return f"{what}; try again in {duration(error.retry_after_s)}."


def duration(seconds: int) -> str:
    """Return a time to wait, never shorter than it is."""
    if seconds < 120:
        return f"{seconds} s"
    minutes = -(-seconds // 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def cut(text: str, most: int) -> str:
    """Return a text of at most `most` characters, with its middle left out and told if it is longer."""
    if len(text) <= most:
        return text
    room = max(0, most - _MARK_CHARS)
    head = room - room // 2
    left = len(text) - room
    return f"{text[:head]}\n[... {left:,} characters left out ...]\n{text[len(text) - room // 2 :]}"


def _printed(details: Mapping[str, Any], config: Config) -> list[str]:
    """Return what was printed and the value of the last line, together as long as a model should read."""
    out, err = details["stdout"].rstrip("\n"), details["stderr"].rstrip("\n")
    most = config.mcp_chars
    found = details.get("value") or {}
    value = ""
    if found.get("repr", "None") != "None":  # which every call of print() returns
        value = str(found.get("markdown") or found["repr"])
    # The traceback is what counts, so stderr has at least half of the room; of the rest, the value has.
    for_err = min(len(err), max(most // 2, most - len(out) - len(value)))
    for_value = min(len(value), max((most - for_err) // 2, most - for_err - len(out)))
    lines = [cut(out, most - for_err - for_value)] if out else []
    if details["stdout_truncated"] or details["stderr_truncated"]:
        lines.append(f"[The output was cut at {units.size(config.budget.output_bytes)}.]")
    if value:
        lines.append(cut(value, for_value))
    if err:
        lines += [*(["[stderr]"] if details["success"] else []), cut(err, for_err)]
    return lines


def _failure(details: Mapping[str, Any], error: PyexecError | None) -> list[str]:
    """Return what follows the traceback: the values where it happened, and how the run ended."""
    lines = list(_values(details.get("error") or {}, ended=error is not None))
    if error is not None:
        lines.append(f"{error.type}: {error.message}")
    elif not details["success"] and not details["stderr"].strip():
        lines.append(f"The script ended with exit code {details['exit_code']}.")
    return lines


def _values(error: Mapping[str, Any], ended: bool) -> Iterator[str]:
    """Yield lines with the values at fault; of a run that was ended, without a traceback, its lines at least."""
    for frame in error.get("frames", ())[:_ERROR_LINES]:
        # Parts first, such as `rows[i]`: where one is told, it is the value at fault.
        found = sorted(frame.get("locals", {}).items(), key=lambda item: str(item[0]).isidentifier())
        values = ", ".join(f"{name} = {_short(str(value), _VALUE_CHARS)}" for name, value in found)
        if not values and ended:
            values = str(frame.get("code", ""))
        if values:
            place = f"line {frame.get('line')}" + (f" in {frame['function']}" if frame.get("function") else "")
            yield _short(f"At {place}: {values}", _ERROR_CHARS)
    largest = [f"{each['name']}, {_about(each['size_bytes'])}" for each in error.get("largest", ())[:_ERROR_LINES]]
    if largest:
        yield _short(f"Largest: {'; '.join(largest)}", _ERROR_CHARS)


def _short(text: str, most: int) -> str:
    """Return a text as one line of at most `most` characters."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _about(size: int) -> str:
    """Return about how many bytes an object has: its size was estimated."""
    return f"{round(size / (1 << 20)):,} MiB"


def _files(found: tuple[OutputFile, ...], named: bool, left: int, shaped: Shaped) -> Iterator[str]:
    """Add a block for each file that a model gets, and yield a line for each file."""
    pictures = PICTURE_BYTES
    for file in found:
        if not named and files.is_hidden(file.name):
            continue
        name, content = files.shown(file.name), file.content
        if content is None:
            size = "" if file.size_bytes is None else f"{units.count(file.size_bytes, 'byte')}; "
            yield f"{name}: {size}{file.error}"
            continue
        kind = files.picture_type(content)
        # A text becomes part of the document, which is in memory several times while it is written as JSON.
        text = files.text_of(content) if len(content) <= 4 * left else None
        said = f"{name}: {units.count(len(content), 'byte')}"
        if kind is not None and len(content) <= pictures:
            pictures -= len(content)
            blob = Blob(content)
            shaped.content.append({"type": "image", "data": blob.mark, "mimeType": kind})
            shaped.blobs.append(blob)
            yield f"{said}, shown below"
        elif text is not None and len(text) <= left:
            left -= len(text)
            shaped.content.append(_text_block(f"{name}:\n{text}"))
            yield f"{said}, below"
        elif named:
            blob = Blob(content)
            resource = {"uri": files.uri(file.name), "mimeType": kind or files.media_type(file.name), "blob": blob.mark}
            shaped.content.append({"type": "resource", "resource": resource})
            shaped.blobs.append(blob)
            yield f"{said}, attached" + ("" if kind is None else _too_large())
        elif kind is not None:
            yield f"{said}, not returned" + _too_large()
        else:
            yield f"{said}, not returned; name it in return_files to get it"


def _too_large() -> str:
    most = units.size(PICTURE_BYTES)
    return f"; pictures of more than {most} in all can't be shown: make it smaller, as by savefig(name, dpi=100)"


def _not_returned(done: Done, details: Mapping[str, Any]) -> list[str]:
    """Return a line for the files that the script wrote and that nobody asked for."""
    returned = {file.name for file in done.outcome.files}
    written = [entry for entry in details.get("files_written", ()) if not files.is_hidden(entry["path"])]
    others = [entry for entry in written if entry["path"] not in returned]
    if not others:
        return []
    named = [f"{files.shown(entry['path'])} ({units.count(entry['size_bytes'], 'byte')})" for entry in others]
    more = [f"and {len(named) - _MOST_NAMED} more"] if len(named) > _MOST_NAMED else []
    return [f"Written, but not returned: {', '.join(named[:_MOST_NAMED] + more)}. Name them in return_files."]
