"""Defaults of the standard library that no run may have, replaced by what it may: in the zygote, for all children.

- `mmap.mmap(-1, n)` makes shared memory unless told otherwise. The filter refuses shared memory that belongs to no
  file, since no limit counts it, and few who write this call want anything shared.
- `asyncio` takes epoll, of which the filter leaves public scripts little: poll is enough for what a run can wait for.
- `multiprocessing` starts a server of processes from Python 3.14 on, which listens on a socket. No run may.
- Python keeps the bytecode of what it imports beside it. Of a run's own modules that would be files which no script
  asked for, listed and returned with its own. `sys.dont_write_bytecode` stays as scripts know it.

Convenience, not a boundary: what a script does past this file, the filter refuses all the same.
"""

from __future__ import annotations

import errno
import importlib.machinery
import mmap
import selectors
import sys
from typing import Any

_Mmap = mmap.mmap
_NO_SHARED_MEMORY = "shared memory without a file is not available here; map a file instead"
_PARAMETERS = ("fileno", "length", "flags", "prot", "access", "offset")  # in the order of mmap's call
_PROTECTION = {
    mmap.ACCESS_DEFAULT: None,
    mmap.ACCESS_READ: mmap.PROT_READ,
    mmap.ACCESS_WRITE: mmap.PROT_READ | mmap.PROT_WRITE,
}


def install() -> None:
    """Replace them all."""
    _private_memory()
    selectors.DefaultSelector = selectors.PollSelector  # type: ignore[misc, assignment]
    importlib.machinery.SourceFileLoader._cache_bytecode = lambda *_, **__: None  # type: ignore[attr-defined]
    if sys.version_info >= (3, 14):
        from multiprocessing import context

        # Not by set_start_method: a script may still choose for itself.
        context._default_context._default_context = context._concrete_contexts["fork"]


def _private_memory() -> None:
    """Let `mmap.mmap(-1, n)` make private memory, and tell those who ask for shared memory by name what to do."""

    # A class, as it was: scripts ask isinstance, and libraries inherit from it.
    class Mmap(_Mmap):
        __slots__ = ()

        def __new__(cls, *positional: Any, **named: Any) -> Any:
            given = dict(zip(_PARAMETERS, positional), **named)
            # Too many arguments, or one given twice: for the real class to refuse, as is every other mistake.
            wrong = len(given) < len(positional) + len(named)
            flags = given.get("flags", mmap.MAP_SHARED)
            shared = isinstance(flags, int) and flags & mmap.MAP_SHARED
            access = given.get("access", mmap.ACCESS_DEFAULT)
            wrong = wrong or access not in _PROTECTION or bool(access and {"flags", "prot"} & given.keys())
            if wrong or not shared or not (given.get("fileno") == -1 or flags & mmap.MAP_ANONYMOUS):
                return _Mmap.__new__(cls, *positional, **named)
            if "flags" in given:
                raise PermissionError(errno.EPERM, _NO_SHARED_MEMORY)
            if access:  # the real class takes either flags or access
                del given["access"]
                given["prot"] = _PROTECTION[access]
            return _Mmap.__new__(cls, **given, flags=mmap.MAP_PRIVATE)

        def __repr__(self) -> str:
            # That of the real class takes the bare name of a class that is written in Python.
            text = super().__repr__()
            return text.replace("<mmap ", "<mmap.mmap ", 1) if type(self) is Mmap else text

    Mmap.__name__, Mmap.__qualname__, Mmap.__module__, Mmap.__doc__ = "mmap", "mmap", "mmap", _Mmap.__doc__
    mmap.mmap = Mmap  # type: ignore[misc]
