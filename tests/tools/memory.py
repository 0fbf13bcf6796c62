"""How much memory the kernel counts for a server and all its runs: for tests of what no rlimit of a run counts.

A memory cgroup of the test's own, below the one that it is in, counts exactly. Where none can be made, as for an
ordinary user, the whole machine is read instead, and whoever compares has to allow for what others do there.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
import time
from typing import Callable, Dict, Iterator, List

MIB = 1 << 20


class Counter:
    """What is held in memory, of everything that was started by `wrapper`."""

    def __init__(self, directory: str) -> None:
        """Count a memory cgroup, or the machine where there is none."""
        self.directory = directory
        self.exact = bool(directory)
        self.margin_bytes = 4 * MIB if self.exact else 256 * MIB
        self.wrapper: List[str] = []
        if self.exact:
            entry = 'echo $$ > "$0" && exec "$@"'
            self.wrapper = ["/bin/sh", "-c", entry, os.path.join(directory, "cgroup.procs")]

    def held_bytes(self) -> int:
        """Return what is in memory now and can't be thrown away: not pages of files that lie on a disk."""
        if not self.exact:
            machine = _fields("/proc/meminfo")
            pages = machine["MemFree"] + machine["Buffers"] + machine["Cached"] - machine["Shmem"]
            return (machine["MemTotal"] - pages) * 1024
        stat = _fields(os.path.join(self.directory, "memory.stat"))
        if "total_cache" in stat:
            with open(os.path.join(self.directory, "memory.usage_in_bytes"), encoding="ascii") as file:
                return int(file.read()) - stat["total_cache"] + stat["total_shmem"]
        with open(os.path.join(self.directory, "memory.current"), encoding="ascii") as file:
            return int(file.read()) - stat["file"] + stat["shmem"]

    def limit(self, most_bytes: int) -> None:
        """Let the kernel kill what goes beyond this in the cgroup; -1 for no limit. Only where counting is exact."""
        old = os.path.exists(os.path.join(self.directory, "memory.limit_in_bytes"))
        name, none = ("memory.limit_in_bytes", "-1") if old else ("memory.max", "max")
        with open(os.path.join(self.directory, name), "w", encoding="ascii") as file:
            file.write(none if most_bytes < 0 else str(most_bytes))

    def killed(self) -> int:
        """Return how many processes the kernel's memory killer has ended in the cgroup."""
        old = os.path.exists(os.path.join(self.directory, "memory.oom_control"))
        return _fields(os.path.join(self.directory, "memory.oom_control" if old else "memory.events"))["oom_kill"]

    def _settled_bytes(self) -> int:
        """Return what is held once an earlier run has been cleaned up after and the next child has warmed up."""
        seen = [self.held_bytes()]
        while self.exact and len(seen) < 100 and (len(seen) < 5 or max(seen[-5:]) - min(seen[-5:]) > MIB):
            time.sleep(0.05)
            seen.append(self.held_bytes())
        return seen[-1]

    def most_of(self, work: Callable[[], object]) -> int:
        """Return by how many bytes what is held grew at most while a function ran."""
        before, over = self._settled_bytes(), threading.Event()
        highest = [before]

        def watch() -> None:
            while not over.wait(0.01):
                highest.append(self.held_bytes())

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            work()
        finally:
            over.set()
            watcher.join()
        return max(highest) - before


def _fields(path: str) -> Dict[str, int]:
    with open(path, encoding="ascii") as file:
        return {line.split()[0].rstrip(":"): int(line.split()[1]) for line in file}


def _own_cgroup() -> str:
    """Return the directory of the memory cgroup that we are in, "" if there is none to divide."""
    with open("/proc/self/cgroup", encoding="ascii") as file:
        groups = [line.strip().split(":", 2)[1:] for line in file]
    for controllers, path in groups:
        if controllers == "memory":
            return "/sys/fs/cgroup/memory" + path
        if not controllers and _version_2("/sys/fs/cgroup" + path):
            return "/sys/fs/cgroup" + path
    return ""


def _version_2(directory: str) -> bool:
    """Return whether cgroups below one of version 2 count memory."""
    try:
        with open(os.path.join(directory, "cgroup.subtree_control"), encoding="ascii") as file:
            return "memory" in file.read().split()
    except OSError:  # nothing of it is mounted there
        return False


@contextlib.contextmanager
def counted() -> Iterator[Counter]:
    """Give a counter, whose cgroup goes when everything in it has ended."""
    directory, own = "", _own_cgroup()
    if own:
        with contextlib.suppress(OSError):  # not ours to divide: read-only, or another user's
            directory = tempfile.mkdtemp(prefix="pyexec-test-", dir=own)
    try:
        yield Counter(directory)
    finally:
        deadline = time.monotonic() + 20
        while directory:
            try:
                os.rmdir(directory)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
