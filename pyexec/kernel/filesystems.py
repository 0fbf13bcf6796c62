"""What kind of file system a directory lies on. Asked in the nursery, where no tmpfs of a run's own can be mounted.

Source: statfs(2), linux/magic.h.
"""

from __future__ import annotations

import ctypes
import os

from pyexec.kernel import libc

_TMPFS_MAGIC = 0x01021994


class _Statfs(ctypes.Structure):
    # As on every 64-bit machine, up to what is asked; the kernel fills 120 bytes.
    _fields_ = [
        ("kind", ctypes.c_long),
        ("block_bytes", ctypes.c_long),
        ("blocks", ctypes.c_uint64),
        ("rest", ctypes.c_char * 96),
    ]


def tmpfs_bytes(directory: str) -> int:
    """Return the size of the tmpfs that a directory lies on; 0 if it is no tmpfs, or one without a size.

    Raises:
        OSError: there is no such directory.
    """
    found = _Statfs()
    libc.syscall("statfs", os.fsencode(directory), found)
    return found.blocks * found.block_bytes if found.kind == _TMPFS_MAGIC else 0
