"""The tool's arguments to a checked `Job`; what is wrong is said in the words of the tool's description. Pure."""

from __future__ import annotations

import json
from typing import Any, Mapping, NoReturn

from pyexec import rules, units
from pyexec.api import request_json
from pyexec.api.mcp.tool import ARGUMENTS, CONTENT
from pyexec.api.request import decode_base64
from pyexec.config import Config
from pyexec.errors import ValidationError
from pyexec.job import Attachment, Job

_ALIASES = {"script": "code", "python": "code", "source": "code", "input": "stdin", "stdin_data": "stdin"}
_ALIASES.update(attachments="files", output_files="return_files", outputs="return_files", filename="files")

# What a caller gets who names no files: `result` shows pictures and short texts of these. Pictures come first, since
# only so many files come back.
DEFAULT = (*(f"**/*.{kind}" for kind in ("png", "jpg", "jpeg", "gif", "webp")), "**")


def _fail(field: str, message: str) -> NoReturn:
    raise ValidationError(message, field)


def job_of(arguments: Mapping[str, Any], config: Config) -> Job:
    """Return the job that the arguments of a call ask for, of a caller who isn't an admin.

    Raises:
        ValidationError: says which argument is wrong, and what to send instead.
    """
    for key in arguments:
        if key not in ARGUMENTS:
            meant = _ALIASES.get(key.lower(), key.lower() if key.lower() in ARGUMENTS else None)
            advice = f"Call it '{meant}'." if meant else f"There are {', '.join(ARGUMENTS)}."
            name = request_json.shown(key)
            _fail(name, f"There is no argument '{name}'. {advice}")
    code = _text(arguments.get("code"), "code")
    if not code:
        _fail("code", "The argument 'code' is missing: send the Python script in it.")
    if len(code) > config.code_chars:
        most = units.count(config.code_chars, "character")
        _fail("code", f"'code' may have at most {most}; it has {len(code)}. Put data into 'files' or 'stdin'.")
    stdin = _text(arguments.get("stdin"), "stdin")
    data = None if stdin is None else stdin.encode("utf-8")
    if data is not None and len(data) > config.stdin_bytes:
        _fail("stdin", f"'stdin' may have at most {units.size(config.stdin_bytes)}.")
    returned = _return_files(arguments.get("return_files"), config)
    return Job(code, data, _files(arguments.get("files"), config), returned, value=True)


def names_files(arguments: Mapping[str, Any]) -> bool:
    """Return whether the caller says which files are to come back."""
    return arguments.get("return_files") is not None


def _text(value: Any, field: str) -> str | None:
    if value is None:
        return None
    if isinstance(value, memoryview):  # of a long string under the name that Base64 has
        value = bytes(value).decode("utf-8", "surrogateescape")
    if not isinstance(value, str):
        _fail(field, f"'{field}' must be a string, not {request_json.type_name(value)}.")
    rules.characters(value, field)
    return str(value)


def _files(value: Any, config: Config) -> tuple[Attachment, ...]:
    if value is None:
        return ()
    if not isinstance(value, dict):
        what = request_json.type_name(value)
        _fail("files", f'\'files\' must be an object of names and contents, such as {{"a.csv": "x,y"}}, not {what}.')
    if len(value) > config.attachments:
        most = units.count(config.attachments, "file")
        _fail("files", f"'files' may have at most {most}; it has {len(value)}. Put several into one, or print less.")
    found: list[Attachment] = []
    for name, content in value.items():
        field = f"files[{json.dumps(request_json.shown(name), ensure_ascii=False)}]"
        rules.filename(name, field)
        found.append(Attachment(name, _content(content, field, config)))
    return tuple(found)


def _content(value: Any, field: str, config: Config) -> bytes:
    longest = config.attachment_bytes
    if isinstance(value, dict):
        if list(value) != [CONTENT]:
            _fail(field, f'\'{field}\' must be a text, or for a file that isn\'t text {{"{CONTENT}": "…"}}.')
        return decode_base64(value[CONTENT], field, longest)
    text = _text(value, field)
    if text is None:
        _fail(field, f"'{field}' must be the file's content, not null.")
    content = text.encode("utf-8")
    if len(content) > longest:
        _fail(field, f"'{field}' may have at most {units.size(longest)}.")
    return content


def _return_files(value: Any, config: Config) -> tuple[str, ...]:
    if value is None:
        return DEFAULT[-config.return_files :] if config.return_files else ()
    entries = [value] if isinstance(value, str) else value  # one name, which is as clear as a list of one
    if not isinstance(entries, list):
        what = request_json.type_name(value)
        _fail("return_files", f"'return_files' must be an array of file names, not {what}.")
    if len(entries) > config.return_files:
        most = units.count(config.return_files, "name")
        _fail("return_files", f"'return_files' may have at most {most}; it has {len(entries)}.")
    names: list[str] = []
    for index, entry in enumerate(entries):
        field = f"return_files[{index}]"
        name = _text(entry, field)
        if name is None:
            _fail(field, f"'{field}' must be a string, not null.")
        rules.path(name, field)
        if name not in names:
            names.append(name)
    return tuple(names)
