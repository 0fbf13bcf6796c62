"""`/dev/stdin`, `/dev/stdout` and `/dev/stderr`, which programs open by name: contest programs do so by habit.

On any Linux system the names lead to `/proc`, and no run has one. So `open` knows them, in a script whose text has
them; every other script keeps the real one. Works in the child.
"""

from __future__ import annotations

import builtins
import functools
import io
import os
from typing import Any

_NUMBERS = {f"/dev/{name}": number for number, name in enumerate(("stdin", "stdout", "stderr"))}
_NUMBERS.update({f"/dev/fd/{number}": number for number in range(3)})


def needed_by(source: str) -> bool:
    """Return whether a script's text has one of the names."""
    return "/dev/std" in source or "/dev/fd/" in source


def install() -> None:
    """Let `open` open a stream by its name: as for a pipe, what is read or written goes on where it was."""
    plain = builtins.open

    @functools.wraps(plain)
    def open_(file: Any, *positional: Any, **named: Any) -> Any:
        number = _NUMBERS.get(os.fspath(file)) if isinstance(file, (str, os.PathLike)) else None
        if number is None or len(positional) > 6 or named.get("opener"):
            return plain(file, *positional, **named)
        return plain(file, *positional, **dict(named, opener=lambda path, flags: os.dup(number)))

    builtins.open = io.open = open_
