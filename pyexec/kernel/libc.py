"""System calls through ``ctypes``: one `syscall()`, one `prctl()`, one `mount()`, every failure an `OSError`.

Runs in every process before there is user code in it: in zygotes, in children, and in the server for itself. Decides
nothing, and never guesses a call's number: an unknown machine or call is an error.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import platform
import socket
import struct
import sys
from typing import Any, Callable, NamedTuple, Sequence, Union

from pyexec.errors import LayerError
from pyexec.kernel.syscalls import CALLS

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_CAPBSET_READ = 23
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_GET_NO_NEW_PRIVS = 39
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h; 32 MiB is the most for the second

_HIGH = 16

_COLUMN = {"x86_64": 0, "aarch64": 1}

Argument = Union[int, bytes, None, "ctypes.Array[Any]", "ctypes.Structure", "ctypes.c_uint32"]

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_libc.prctl.restype = ctypes.c_int
_libc.mount.restype = ctypes.c_int
_libc.sendmsg.restype = ctypes.c_ssize_t


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


class Call(NamedTuple):
    """A call made ready before the fork: its layer, function, encoded arguments, and the result that it must have.

    In a child each line of Python that runs for the first time, and each number that is made into an argument, copies
    pages of the zygote: to make ready what a layer asks costs more there than the kernel takes to do it.
    """

    layer: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    expected: Any


def system_call(layer: str, name: str, *arguments: Argument, expected: int = 0) -> Call:
    """Return a system call made ready; the arguments are those of `syscall`. Raises OSError where it doesn't exist."""
    return Call(layer, _libc.syscall, (ctypes.c_long(_existing(name)), *map(_typed, arguments)), expected)


def prctl_call(layer: str, option: int, *arguments: int, expected: int = 0) -> Call:
    """Return a call of prctl(2) made ready."""
    four = (arguments + (0, 0, 0, 0))[:4]
    return Call(layer, _libc.prctl, (ctypes.c_int(option), *map(ctypes.c_ulong, four)), expected)


def mount_call(layer: str, source: str, target: str, kind: str, flags: int, data: str) -> Call:
    """Return a call of mount(2) made ready."""
    first, second, third, last = (ctypes.c_char_p(os.fsencode(text)) for text in (source, target, kind, data))
    return Call(layer, _libc.mount, (first, second, third, ctypes.c_ulong(flags), last), 0)


class _Part(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


class _Header(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("parts", ctypes.POINTER(_Part)),
        ("count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    ]


def sendmsg_call(layer: str, fd: int, packet: bytes, descriptors: Sequence[int]) -> Call:
    """Return a call of sendmsg(2) made ready, which sends a packet and descriptors (SCM_RIGHTS) through a socket."""
    numbers = struct.pack(f"={len(descriptors)}i", *descriptors)
    # struct cmsghdr: size_t length without the padding behind, int level, int type; see cmsg(3).
    rights = struct.pack("=Qii", 16 + len(numbers), socket.SOL_SOCKET, socket.SCM_RIGHTS) + numbers
    rights += bytes(-len(rights) % 8)
    data, control = ctypes.create_string_buffer(packet, len(packet)), ctypes.create_string_buffer(rights, len(rights))
    part = _Part(ctypes.addressof(data), len(packet))
    header = _Header(None, 0, ctypes.pointer(part), 1, ctypes.addressof(control), len(rights), 0)
    header.kept = (data, control)  # only their addresses stand in it
    return Call(layer, _libc.sendmsg, (ctypes.c_int(fd), ctypes.byref(header), ctypes.c_int(0)), len(packet))


def make(call: Call) -> None:
    """Make one call; raises OSError, RuntimeError if it fails or has another result than it must have."""
    _, function, arguments, expected = call
    found = function(*arguments)
    if found != expected:
        raise _unexpected(call, found)


def carry_out(calls: Sequence[Call]) -> None:
    """Make calls in order, each with the result that it must have.

    Raises:
        LayerError: one failed or had another result; whatever the cause, the caller must end this process.
    """
    for call in calls:
        try:
            make(call)
        except (OSError, ValueError, RuntimeError) as error:
            raise LayerError(call.layer, str(error)) from error


def _unexpected(call: Call, found: Any) -> Exception:
    name = getattr(call.function, "__name__", str(call.function))
    if name == "syscall":
        numbers = {numbers[_COLUMN[machine()]]: known for known, numbers in CALLS.items()}
        name = numbers.get(call.arguments[0].value, name)
    if found == -1:
        error = ctypes.get_errno()
        return OSError(error, os.strerror(error), name)
    return RuntimeError(f"{name} did not take effect: {found!r} instead of {call.expected!r}")


def _existing(name: str) -> int:
    nr = number(name)
    if nr is None:
        raise OSError(errno.ENOSYS, "no such system call on this machine", name)
    return nr


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
    return _checked(_libc.syscall(ctypes.c_long(_existing(name)), *(_typed(a) for a in arguments)), name)


def prctl(option: int, *arguments: int) -> int:
    """Call prctl(2); missing arguments are 0, which the newer options insist on.

    Raises:
        OSError: prctl answered −1.
    """
    four = (arguments + (0, 0, 0, 0))[:4]
    return _checked(_libc.prctl(ctypes.c_int(option), *(ctypes.c_ulong(a) for a in four)), f"prctl {option}")


def high(fd: int) -> int:
    """Move a descriptor to a number above those that a child lays out anew; return that. Raises OSError."""
    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _HIGH)
    finally:
        os.close(fd)


def _pidfd_open(pid: int) -> int:
    return syscall("pidfd_open", pid, 0)


pidfd_open: Callable[[int], int] = getattr(os, "pidfd_open", _pidfd_open)  # Python 3.9


class Reaper:
    """Reaps a process and knows how much processor time it used, with no object made for what it didn't ask."""

    def __init__(self) -> None:
        """Make the places that wait4(2) writes to: the status, and struct rusage."""
        self._status, self._usage = ctypes.c_int(), (ctypes.c_long * 18)()
        self._rest = (ctypes.byref(self._status), ctypes.c_int(0), ctypes.byref(self._usage))

    def reap(self, pid: int) -> int:
        """Wait for a child and return its wait status. Raises OSError."""
        _checked(_libc.wait4(ctypes.c_int(pid), *self._rest), "wait4")
        return self._status.value

    @property
    def cpu_s(self) -> float:
        """The processor time that the last one used, in user and in kernel mode."""
        return float(self._usage[0] + self._usage[2] + (self._usage[1] + self._usage[3]) / 1e6)


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
