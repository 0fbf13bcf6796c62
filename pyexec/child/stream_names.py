"""`/dev/stdin`, `/dev/stdout` and `/dev/stderr`, which programs open by name: contest programs do so by habit.

On any Linux system the names lead to `/proc`, and no run has one. So `open` and `os.stat` know them, which is what
asks whether a file exists, in a script whose text, or that of a module attached to it, has them; every other script
keeps the real ones. Works in the child.
"""

from __future__ import annotations

import builtins
import functools
import io
import os
import pathlib
import sys
from typing import Any

_NUMBERS = {f"/dev/{name}": number for number, name in enumerate(("stdin", "stdout", "stderr"))}
_NUMBERS.update({f"/dev/fd/{number}": number for number in range(3)})


def needed_by(source: str) -> bool:
    """Return whether a script's text, with that of its modules, has one of the names."""
    return "/dev/std" in source or "/dev/fd/" in source


def install() -> None:
    """Let `open` open a stream by its name, and `os.stat` find it.

    As for a pipe, what is read or written goes on where it was.
    """
    plain, plain_stat = builtins.open, os.stat

    @functools.wraps(plain)
    def open_(file: Any, *positional: Any, **named: Any) -> Any:
        number = _number(file)
        if number is None or len(positional) > 6 or named.get("opener"):
            return plain(file, *positional, **named)
        return plain(file, *positional, **dict(named, opener=lambda path, flags: os.dup(number)))

    @functools.wraps(plain_stat)
    def stat(path: Any, *, dir_fd: Any = None, follow_symlinks: bool = True) -> os.stat_result:
        number = _number(path) if follow_symlinks else None
        return plain_stat(path if number is None else number, dir_fd=dir_fd, follow_symlinks=follow_symlinks)

    builtins.open = io.open = open_
    # numpy took hold of the real one when it was loaded, in the zygote.
    openers: Any = getattr(sys.modules.get("numpy.lib._datasource"), "_file_openers", None)
    if isinstance(getattr(openers, "_file_openers", None), dict):
        openers._file_openers[None] = open_
    for functions in (os.supports_fd, os.supports_dir_fd, os.supports_follow_symlinks):
        functions.add(stat)
    os.stat = stat
    accessor: Any = getattr(pathlib, "_NormalAccessor", None)  # before Python 3.10
    if accessor is not None:
        accessor.stat = staticmethod(stat)


def _number(path: Any) -> int | None:
    return _NUMBERS.get(os.fspath(path)) if isinstance(path, (str, os.PathLike)) else None
