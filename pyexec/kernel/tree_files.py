"""The small files of the tree that runs see: what programs look up about the machine and its users.

Made of what is known of the run, not of the host: a run learns no name of the host's users and no size of its
memory. Pure.

Source: passwd(5), group(5), hosts(5), proc_meminfo(5), tzfile(5).
"""

from __future__ import annotations

import struct
from typing import Iterable

from pyexec.job import USER


def contents(
    uids: Iterable[int], gids: Iterable[int], home: str, memory_bytes: int, processors: int
) -> dict[str, bytes]:
    """Return path → content.

    Args:
        uids, gids: of the runs that share a tree. home: the directory of each. memory_bytes: what a run may use.
    """
    users = ["root:x:0:0:root:/nonexistent:/bin/sh"]
    users += [f"{USER}:x:{uid}:{gid}:{USER}:{home}:/bin/sh" for uid, gid in zip(uids, gids) if uid]
    groups = ["root:x:0:"] + [f"{USER}:x:{gid}:" for gid in dict.fromkeys(gids) if gid]
    return {
        "/etc/passwd": _lines(users),
        "/etc/group": _lines(groups),
        "/etc/hosts": _lines(["127.0.0.1 localhost", "::1 localhost ip6-localhost"]),
        "/etc/localtime": utc(),
        "/proc/meminfo": _meminfo(memory_bytes),
        "/proc/cpuinfo": b"".join(b"processor\t: %d\n\n" % number for number in range(processors)),
    }


def utc() -> bytes:
    """Return the time zone of UTC as a file: its data twice, for readers of 32 and of 64 bits, and its rule."""
    data = struct.pack(">4sc15x6l", b"TZif", b"2", 0, 0, 0, 0, 1, 4) + struct.pack(">lBB", 0, 0, 0) + b"UTC\0"
    return data + data + b"\nUTC0\n"


def _meminfo(memory_bytes: int) -> bytes:
    sizes = dict.fromkeys("MemTotal MemFree MemAvailable".split(), memory_bytes // 1024)
    sizes.update(dict.fromkeys("Buffers Cached SwapCached Active Inactive SwapTotal SwapFree Shmem Slab".split(), 0))
    return _lines([f"{name + ':':16}{size:8} kB" for name, size in sizes.items()])


def _lines(lines: list[str]) -> bytes:
    return "".join(line + "\n" for line in lines).encode("ascii")
