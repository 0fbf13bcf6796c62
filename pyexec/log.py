"""The log, which is standard error: what can't be written is left out.

At a terminal it is lines of text, as it is for all commands but `serve`. Otherwise the server writes JSON, one object a
line, each with `time`, `level` and, where it belongs to a request, `request_id`.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sys
import threading
import time
import traceback
from typing import Any, Mapping, TextIO

INFO, WARNING, ERROR = "info", "warning", "error"

_as_json = False
_request = threading.local()


def say(text: str, level: str = INFO) -> None:
    """Write one entry to the log, whatever happens: a full disk must cost no answer, no thread, no shutdown.

    As text, further lines are indented: only an entry begins with the program's name at the start of a line.
    """
    if _as_json:
        _write(_line(level, {"message": text}))
    else:
        _write("pyexec: " + "\n  ".join(text.splitlines()) + "\n")


def request(fields: Mapping[str, Any], level: str = INFO) -> None:
    """Write the entry of a request that has been answered; as text, the values alone."""
    if _as_json:
        _write(_line(level, fields))
    else:
        # Quoted where they could be more than words: what a client sends must not steer a terminal.
        shown = (json.dumps(value).strip('"') if isinstance(value, str) else str(value) for value in fields.values())
        _write(" ".join((_now(), *shown)) + "\n")


def begin_request(request_id: str) -> None:
    """Have every entry that this thread writes from now on carry the id of the request that it answers."""
    _request.id = request_id


def serve_machines() -> None:
    """Write JSON from now on, tracebacks that nobody catches included."""
    global _as_json
    _as_json = True
    sys.excepthook = lambda kind, error, place: _say_uncaught("uncaught", error)
    sys.unraisablehook = lambda found: _say_uncaught(found.err_msg or f"ignored in {found.object!r}", found.exc_value)
    threading.excepthook = lambda found: _say_uncaught("a thread ended", found.exc_value)


def _say_uncaught(what: str, error: BaseException | None) -> None:
    text = "" if error is None else "".join(traceback.format_exception(type(error), error, error.__traceback__))
    say(f"{what}: {text.strip()}", ERROR)


def _line(level: str, fields: Mapping[str, Any]) -> str:
    request_id = getattr(_request, "id", "")
    named = {"request_id": request_id} if request_id else {}
    return json.dumps({"time": _now(), "level": level, **named, **fields}, ensure_ascii=True) + "\n"


def _now() -> str:
    now_s = time.time()
    return f"{_second(int(now_s))}.{int(now_s * 1000) % 1000:03}Z"


@functools.lru_cache(maxsize=1)
def _second(now_s: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now_s))


def _write(line: str) -> None:
    """Write UTF-8 whatever the locale, in one call of the kernel, so that no other thread's entry gets between."""
    with contextlib.suppress(OSError, ValueError, AttributeError):  # a full disk; a closed stream; none at all
        if _is_descriptor_2(sys.stderr):
            os.write(2, line.encode("utf-8", "backslashreplace"))
        else:  # what an embedder has put there
            sys.stderr.write(line)
            sys.stderr.flush()


def _is_descriptor_2(stream: TextIO) -> bool:
    try:
        return stream.fileno() == 2
    except (OSError, AttributeError):
        return False


class Log:
    """A stream in place of standard error for what Python itself writes there, such as a thread's last traceback."""

    def __init__(self, stream: TextIO) -> None:
        """Write to this stream."""
        self._stream = stream

    def fileno(self) -> int:
        """Return the stream's descriptor."""
        return self._stream.fileno()

    def isatty(self) -> bool:
        """Return whether somebody looks at a terminal."""
        return self._stream.isatty()

    def write(self, text: str) -> int:
        """Write, if that can be done."""
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, if that can be done."""
        with contextlib.suppress(OSError):
            self._stream.flush()
