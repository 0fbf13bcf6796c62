"""Files that a run has deleted and still holds, which a look at its directory misses though they take space as ever.

Needed only where runs share a file system. An open file can be asked through `/proc/N/fd`. One that is only mapped is
listed without its size, so what is mapped of it counts, and the run is known to hold perhaps more. The server may look
into a process of its own uid, and into one of another with CAP_SYS_PTRACE.
"""

from __future__ import annotations

import os
import re
from typing import Iterator, NamedTuple

from pyexec.runs.processes import Process

# Of hostile processes: a run may have 256 descriptors, and 65,530 mappings of a hundred bytes each.
_LONGEST_MAPS_BYTES = 1 << 20
_DELETED = re.compile(rb"^([0-9a-f]+)-([0-9a-f]+) \S+ ([0-9a-f]+) \S+ (\d+) +(/.*) \(deleted\)$", re.MULTILINE)


class Held(NamedTuple):
    """What a run holds of deleted files: bytes on disk that are sure, and whether there may be more."""

    size_bytes: int
    perhaps_more: bool


def held(found: list[Process], directory: str, device: int) -> Held:
    """Return how much the processes of a run hold in files that have no name any more.

    Args:
        directory: the run's own, in which its files had their names. device: the one that it is on.
    """
    sizes: dict[int, int] = {}  # by inode
    mapped: dict[tuple[int, int], int] = {}  # by inode and offset
    unsure = False
    for process in found:
        try:
            for place in _tables(process):
                sizes.update(_open(place, device))
                unsure |= _map(place, os.fsencode(directory) + b"/", mapped)
        except PermissionError:
            unsure = True
        except OSError:
            continue  # it has ended
    extents: dict[int, int] = {}
    for (inode, _), size in mapped.items():
        if inode not in sizes:
            extents[inode] = extents.get(inode, 0) + size
    return Held(sum(sizes.values()) + sum(extents.values()), unsure or bool(extents))


def _tables(process: Process) -> Iterator[str]:
    """Yield where a process's descriptors and mappings are; if its first thread has ended, another one has them."""
    if process.state != b"Z":
        yield f"/proc/{process.pid}"
    elif process.threads > 1:
        for name in os.listdir(f"/proc/{process.pid}/task"):
            if int(name) != process.pid:
                yield f"/proc/{process.pid}/task/{name}"


def _open(place: str, device: int) -> Iterator[tuple[int, int]]:
    for number in os.listdir(place + "/fd"):
        try:
            status = os.stat(f"{place}/fd/{number}")
        except FileNotFoundError:  # closed since
            continue
        if status.st_nlink == 0 and status.st_dev == device:
            yield status.st_ino, status.st_blocks * 512


def _map(place: str, directory: bytes, mapped: dict[tuple[int, int], int]) -> bool:
    """Note the mappings of deleted files; return whether there are too many mappings to see all."""
    text = bytearray()
    with open(place + "/maps", "rb", buffering=0) as file:
        while len(text) <= _LONGEST_MAPS_BYTES:
            part = file.read(1 << 16)
            if not part:
                break
            text += part
    for start, end, offset, inode, path in _DELETED.findall(text):
        if path.startswith(directory):
            mapped[int(inode), int(offset, 16)] = int(end, 16) - int(start, 16)
    return len(text) > _LONGEST_MAPS_BYTES
