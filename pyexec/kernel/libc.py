"""System calls through ``ctypes``: one `syscall()`, one `prctl()`, one `mount()`, every failure an `OSError`.

Runs in every process before there is user code in it: in zygotes, in children, and in the server for itself. Decides
nothing, and never guesses a call's number: an unknown machine or call is an error.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import sys
from typing import Any, Union

from pyexec.kernel.syscalls import CALLS

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_GET_NO_NEW_PRIVS = 39
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h; 32 MiB is the most for the second

_COLUMN = {"x86_64": 0, "aarch64": 1}

Argument = Union[int, bytes, None, "ctypes.Array[Any]", "ctypes.Structure", "ctypes.c_uint32"]

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_libc.prctl.restype = ctypes.c_int
_libc.mount.restype = ctypes.c_int


def machine() -> str:
    """Return ``"x86_64"`` or ``"aarch64"``, the two machines whose call numbers are known.

    Raises:
        OSError: on any other machine, or a 32-bit interpreter on a 64-bit kernel, whose calls have other numbers.
    """
    name = platform.machine()
    if name not in _COLUMN or sys.maxsize < 2**32:
        raise OSError(f"pyexec knows the system calls of 64-bit x86-64 and arm64 only; this machine is {name!r}")
    return name


def number(name: str, on: str | None = None) -> int | None:
    """Return the number of a system call on a machine (default: this one), None where it doesn't exist there."""
    return CALLS[name][_COLUMN[on or machine()]]


def _typed(argument: Argument) -> object:
    # A bare Python int would be passed as a C int: the upper half of a pointer or of a 64-bit mask would be lost.
    if isinstance(argument, int):
        return ctypes.c_long(argument)
    if argument is None:
        return ctypes.c_void_p(0)
    if isinstance(argument, bytes):
        return ctypes.c_char_p(argument)
    return ctypes.byref(argument)


def _checked(result: int, what: str) -> int:
    # The return value decides; errno means something only after −1.
    if result == -1:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), what)
    return result


def syscall(name: str, *arguments: Argument) -> int:
    """Make one system call by name and return its result.

    Args:
        name: a key of `syscalls.CALLS`.
        arguments: int (passed as a C long), bytes (pointer to them), None (null), ctypes array or structure (pointer).

    Raises:
        OSError: the kernel answered −1 (`filename` carries the call's name), or the call doesn't exist here (ENOSYS).
    """
    nr = number(name)
    if nr is None:
        raise OSError(errno.ENOSYS, "no such system call on this machine", name)
    return _checked(_libc.syscall(ctypes.c_long(nr), *(_typed(a) for a in arguments)), name)


def prctl(option: int, *arguments: int) -> int:
    """Call prctl(2); missing arguments are 0, which the newer options insist on.

    Raises:
        OSError: prctl answered −1.
    """
    four = (arguments + (0, 0, 0, 0))[:4]
    return _checked(_libc.prctl(ctypes.c_int(option), *(ctypes.c_ulong(a) for a in four)), f"prctl {option}")


def keep_freed_memory() -> None:
    """Have the C library keep up to 64 MiB of freed memory instead of returning it at once; no-op where it can't.

    A body of 10 MB goes through four buffers, each of which would be mapped, faulted in page by page and unmapped. One
    arena only, or each thread would keep as much.
    """
    if hasattr(_libc, "mallopt"):  # glibc; musl has none
        for option, value in ((_M_MMAP_THRESHOLD, 32 << 20), (_M_TRIM_THRESHOLD, 64 << 20), (_M_ARENA_MAX, 1)):
            _libc.mallopt(ctypes.c_int(option), ctypes.c_int(value))


def give_back_freed_memory() -> None:
    """Return all free pages to the kernel, those between others in use as well; no-op where the C library can't."""
    if hasattr(_libc, "malloc_trim"):  # glibc; musl keeps little
        _libc.malloc_trim(ctypes.c_size_t(0))


def mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    """Call mount(2). Raises OSError with the target as its file name."""
    encoded = [None if text is None else os.fsencode(text) for text in (source, target, kind, data)]
    result = _libc.mount(encoded[0], encoded[1], encoded[2], ctypes.c_ulong(flags), encoded[3])
    _checked(result, "mount on " + target)
