"""A script's standard streams: made as the interpreter makes them, and flushed as it flushes them at its end.

Runs in the zygote, which opens them for all its children, and in the child.
"""

from __future__ import annotations

import io
import sys
from typing import Any

from pyexec.child import bottom

_opened: list[Any] = []  # as the script finds them; they are C all through


def open_all() -> None:
    """Make `sys.stdin`, `sys.stdout` and `sys.stderr` anew on descriptors 0, 1 and 2, as for files, in UTF-8."""
    errors = ("surrogateescape", "surrogateescape", "backslashreplace")  # as the locale is C.UTF-8
    _opened.clear()
    for fd, name in enumerate(("stdin", "stdout", "stderr")):
        mode = "w" if fd else "r"
        raw: Any = io.FileIO(fd, mode, closefd=False)
        raw.name = f"<{name}>"
        buffer: Any = io.BufferedWriter(raw) if fd else io.BufferedReader(raw)
        # Line by line, unlike for plain files (stderr is too before 3.9): what was printed must outlive SIGKILL.
        # Line ends are translated on Windows only, those of stdin too.
        stream: Any = io.TextIOWrapper(buffer, "utf-8", errors[fd], newline="\n", line_buffering=fd > 0)
        stream.mode = mode
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
        _opened.append(stream)


def flush() -> list[BaseException | None]:
    """Flush stdout and stderr and return what each raised."""
    lost: list[BaseException | None] = []
    for stream in (getattr(sys, "stdout", None), getattr(sys, "stderr", None)):
        # By far the most runs leave them as they were: then no code of the script's can see who calls.
        if not (_opened and (stream is _opened[1] or stream is _opened[2])):
            lost.append(bottom.attempt(_flush_one, stream))
            continue
        try:
            if not stream.closed:  # not by `_flush_one`, whose first call would write pages
                stream.flush()
        except BaseException as error:  # noqa: BLE001
            lost.append(error)
        else:
            lost.append(None)
    return lost


def _flush_one(stream: Any) -> None:
    if not (stream is None or getattr(stream, "closed", False)):
        stream.flush()
