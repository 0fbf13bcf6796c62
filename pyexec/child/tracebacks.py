"""Shows the exception that ends a script as the interpreter does, but for one thing: where libraries are installed.

A library's file is named from its package on, `numpy/linalg/_linalg.py`: shorter, and the same on every server. Only
what the interpreter itself writes of that one exception is changed, and only the names of files that its traceback has;
whatever a script writes stays as it is.
"""

from __future__ import annotations

import io
import sys
import types
from typing import Any

from pyexec.child import frames

_excepthook = sys.__excepthook__  # which the script may take away
_SYNTAX_ERRORS = (SyntaxError, IndentationError, TabError)
_directories: tuple[str, ...] = ()


def learn_directories() -> None:
    """Take note of the directories that packages are in; in the zygote, where `sys.path` has these alone."""
    global _directories
    _directories = tuple(sorted((path.rstrip("/") + "/" for path in sys.path), key=len, reverse=True))


def show(kind: type[BaseException], error: BaseException, trace: types.TracebackType | None) -> None:
    """Be the interpreter's excepthook."""
    names = _shortened(error)
    stream: Any = getattr(sys, "stderr", None)
    # A stream of the script's own gets what the interpreter writes, in the way it does.
    if not names or type(stream) is not io.TextIOWrapper or stream.closed:
        return _excepthook(kind, error, trace)
    caught = sys.stderr = io.StringIO()
    try:
        _excepthook(kind, error, trace)
    finally:
        if sys.stderr is caught:
            sys.stderr = stream
    text = caught.getvalue()
    for name, short in names.items():
        text = text.replace(f'File "{name}", line', f'File "{short}", line')
    stream.write(text)


def _shortened(error: BaseException) -> dict[str, str]:
    """Return the libraries' files that an exception's traceback shows, each with its name from the package on."""
    found = {}
    for each in frames.related(error):
        names: list[Any] = [getattr(each, "filename", None)] if type(each) in _SYNTAX_ERRORS else []
        entry = each.__traceback__
        while entry is not None:
            names.append(entry.tb_frame.f_code.co_filename)
            entry = entry.tb_next
        for name in set(filter(None, names)):
            home = next((path for path in _directories if name.startswith(path)), "")
            if home:
                found[name] = name[len(home) :]
    return found
