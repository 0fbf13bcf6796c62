"""Machine code for attacks of x86-64 that no library offers as a function: other architectures' system calls."""

from __future__ import annotations

import ctypes
import mmap
import os

_MAP_32BIT = 0x40  # i386 arguments are 32 bits wide
_RWX = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC


def low_memory(content: bytes) -> int:
    """Return the address, below 4 GiB, of a page that can be executed and begins with these bytes; it stays."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_32BIT
    address = libc.mmap(None, ctypes.c_size_t(4096), _RWX, flags, -1, ctypes.c_long(0))
    if address == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    ctypes.memmove(address, content, len(content))
    return int(address)


def _run(code: bytes) -> int:
    result = int(ctypes.CFUNCTYPE(ctypes.c_long)(low_memory(code))())
    if -4096 < result < 0:
        raise OSError(-result, os.strerror(-result))
    return result


def i386(number: int, *arguments: int) -> int:
    """Make a system call by i386's entry, `int 0x80`, which has numbers of its own. Raises OSError."""
    ebx, ecx, edx = (value.to_bytes(4, "little") for value in (arguments + (0, 0, 0))[:3])
    load = b"\x53\xbb" + ebx + b"\xb9" + ecx + b"\xba" + edx  # push rbx; mov ebx, …; mov ecx, …; mov edx, …
    # mov eax, number; int 0x80; movsxd rax, eax; pop rbx; ret
    return _run(load + b"\xb8" + number.to_bytes(4, "little") + b"\xcd\x80\x48\x63\xc0\x5b\xc3")


def x32(number: int, *arguments: int) -> int:
    """Make a system call by x32's numbers: those of x86-64 with bit 30. Raises OSError."""
    rdi, rsi, rdx = (value.to_bytes(8, "little") for value in (arguments + (0, 0, 0))[:3])
    load = b"\x48\xbf" + rdi + b"\x48\xbe" + rsi + b"\x48\xba" + rdx  # movabs rdi, …; movabs rsi, …; movabs rdx, …
    # mov eax, number; syscall; ret
    return _run(load + b"\xb8" + (number | 1 << 30).to_bytes(4, "little") + b"\x0f\x05\xc3")
