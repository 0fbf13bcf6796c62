"""`os.chmod` and `os.utime` where the filter answers them with success, and changes nothing.

It answers before the kernel looks, so that even a file that isn't there would seem to have been changed. That must be
an error as ever: `Path.touch` sets the time first, and makes the file if that fails. Installed in the zygote, for
public and admin scripts.
"""

from __future__ import annotations

import os
import pathlib
from typing import Any, Callable


def install() -> None:
    """Put this module's functions in the place of those of `os`, for the rest of this process and its children."""
    accessor: Any = getattr(pathlib, "_NormalAccessor", None)  # before Python 3.11; from 3.10 on it lacks `utime`
    for name in ("chmod", "utime"):
        plain = getattr(os, name)
        looking = _looking(plain)
        setattr(os, name, looking)
        for supported in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks):
            if plain in supported:
                supported.add(looking)
        if hasattr(accessor, name):
            setattr(accessor, name, staticmethod(looking))


def _looking(plain: Callable[..., None]) -> Callable[..., None]:
    """Return a function that raises what looking at the file raises."""

    def change(path: Any, *values: Any, **named: Any) -> None:
        plain(path, *values, **named)  # which checks the arguments
        os.stat(path, **{key: named[key] for key in ("dir_fd", "follow_symlinks") if key in named})

    change.__name__ = change.__qualname__ = plain.__name__
    change.__module__, change.__doc__ = "os", plain.__doc__
    return change
