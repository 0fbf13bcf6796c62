"""What the standard library does by default and no run may do, done otherwise; in the template, for all its children.

Convenience, not a boundary: the filter refuses what a script does past these all the same.
"""

from __future__ import annotations

import errno
import mmap
from typing import Any

_Mmap = mmap.mmap
_NO_SHARED_MEMORY = "memory that is shared but belongs to no file is not to be had here; map a file instead"
# By their places in the call: mmap(fileno, length, flags, prot, access, offset).
_NAMES = ("fileno", "length", "flags", "prot", "access", "offset")


def install() -> None:
    """Let `mmap.mmap(-1, n)` make private memory, and say what to do to those who ask for shared memory by name."""

    # A class, as it was: scripts ask isinstance, and libraries inherit from it.
    class Mmap(_Mmap):
        __slots__ = ()

        def __new__(cls, *places: Any, **names: Any) -> Any:
            # What is given twice, or at no place, is for the real one to refuse; so is every other mistake.
            twice = set(names) & set(_NAMES[: len(places)]) or len(places) > len(_NAMES)
            given = {} if twice else dict(zip(_NAMES, places), **names)
            flags = given.get("flags", mmap.MAP_SHARED)
            if not isinstance(flags, int) or not (given.get("fileno") == -1 or flags & mmap.MAP_ANONYMOUS):
                return _Mmap.__new__(cls, *places, **names)
            if "flags" in given:
                if flags & mmap.MAP_SHARED:
                    raise PermissionError(errno.EPERM, _NO_SHARED_MEMORY)
                return _Mmap.__new__(cls, *places, **names)
            access = given.pop("access", mmap.ACCESS_DEFAULT)
            if access not in (mmap.ACCESS_DEFAULT, mmap.ACCESS_READ, mmap.ACCESS_WRITE) or (access and "prot" in given):
                return _Mmap.__new__(cls, *places, **names)
            if access:  # which can't be given beside flags
                given["prot"] = mmap.PROT_READ | (mmap.PROT_WRITE if access == mmap.ACCESS_WRITE else 0)
            return _Mmap.__new__(cls, **dict(given, flags=mmap.MAP_PRIVATE))

    Mmap.__name__, Mmap.__qualname__, Mmap.__module__, Mmap.__doc__ = "mmap", "mmap", "mmap", _Mmap.__doc__
    mmap.mmap = Mmap  # type: ignore[misc]
