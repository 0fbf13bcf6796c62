"""What runs on this machine, read from /proc; for tests that say what is left and what isn't."""

from __future__ import annotations

import os
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple


def parents() -> Dict[int, int]:
    """Return pid → parent pid of every process that is no zombie."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open("/proc/%s/stat" % name, "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
            except OSError:
                continue  # ended between two looks
            if fields[0] not in (b"Z", b"X"):
                found[int(name)] = int(fields[1])
    return found


def descendants(pid: int) -> List[int]:
    """Return every process below one, in the order of their ids."""
    table = parents()
    found = {pid}
    while True:
        more = {child for child, parent in table.items() if parent in found} - found
        if not more:
            return sorted(found - {pid})
        found |= more


def command(pid: int) -> str:
    """Return a process's command line, "" if it is gone."""
    try:
        with open("/proc/%d/cmdline" % pid, "rb") as file:
            return file.read().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return ""


def zygotes(pid: int) -> List[int]:
    """Return the zygotes of a server: what the nursery has forked, the second process below it."""
    table = parents()
    below = [child for child, parent in table.items() if parent == pid and "zygote" in command(child)]
    nurseries = [child for child, parent in table.items() if parent in below]
    return sorted(child for child, parent in table.items() if parent in nurseries)


def resident_bytes(pid: int) -> int:
    """Return how much of a process is in memory, 0 if it is gone."""
    try:
        with open("/proc/%d/statm" % pid, encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def state(pid: int) -> str:
    """Return the letter for what a process does, as R for running; "" if it is gone."""
    try:
        with open("/proc/%d/stat" % pid, "rb") as file:
            return file.read().rpartition(b")")[2].split()[0].decode()
    except OSError:
        return ""


def threads(pid: int) -> int:
    """Return how many threads a process has, 0 if it is gone."""
    try:
        with open("/proc/%d/stat" % pid, "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[17])
    except OSError:
        return 0


def tasks_by_session(pid: int) -> Dict[int, int]:
    """Return session → how many threads the processes of it have together, for all processes below one."""
    found: Dict[int, int] = {}
    for each in descendants(pid):
        try:
            with open("/proc/%d/stat" % each, "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue  # ended between two looks
        found[int(fields[3])] = found.get(int(fields[3]), 0) + int(fields[17])
    return found


SYS_PTRACE, SYS_NICE = 19, 23  # linux/capability.h


def has_capability(number: int) -> bool:
    """Return whether this process has a capability, which root may lack in a container."""
    with open("/proc/self/status", encoding="ascii") as file:
        (effective,) = (line.split()[1] for line in file if line.startswith("CapEff:"))
    return bool(int(effective, 16) >> number & 1)


def cpu_s(pid: int) -> float:
    """Return the processor time that a process has used, 0 if it is gone."""
    try:
        with open("/proc/%d/stat" % pid, "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def await_that(condition: Callable[[], Any], seconds: float = 30.0, what: str = "it") -> Any:
    """Return a condition's value as soon as it is true, for what other processes do; fail if it isn't in time."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, "%s did not come about within %g s" % (what, seconds)
        time.sleep(0.01)


PLAIN, WITH_LIBRARIES = False, True


def zygote(pid: int, which: bool) -> int:
    """Return the process that forks a server's children of a kind; the one with the libraries is larger."""
    await_that(lambda: len(zygotes(pid)) == 2)
    return sorted(zygotes(pid), key=resident_bytes)[which]


def anyone_left(pids: List[int]) -> List[int]:
    """Return those that still run."""
    alive = parents()
    return [pid for pid in pids if pid in alive]


def settled(read: Callable[[], Any], still_s: float = 0.3) -> Any:
    """Return a value once it has not changed for a while; children come and go for some milliseconds after a run."""
    deadline = time.monotonic() + 20
    value, since = read(), time.monotonic()
    while time.monotonic() - since < still_s:
        assert time.monotonic() < deadline, "it does not settle"
        time.sleep(0.02)
        found = read()
        if found != value:
            value, since = found, time.monotonic()
    return value


class Tree(NamedTuple):
    """What a server and all its processes hold; for root, since the server lets nobody of its own uid look into it."""

    processes: int
    threads: int
    descriptors: int
    mounts: int
    directories: Tuple[str, ...]

    def within(self, before: Tree) -> bool:
        """Return whether nothing was added; of threads that wait for connections some may have ended."""
        return self.threads <= before.threads and self._replace(threads=0) == before._replace(threads=0)


def tree(pid: int, *directories: str) -> Tree:
    """Return what a process and its descendants hold, and the names in these directories."""
    threads = descriptors = mounts = 0
    pids = [pid] + descendants(pid)
    for each in pids:
        threads += len(os.listdir("/proc/%d/task" % each))
        descriptors += len(os.listdir("/proc/%d/fd" % each))
        with open("/proc/%d/mountinfo" % each, encoding="utf-8") as file:
            mounts += len(file.readlines())
    names = [os.path.join(where, name) for where in directories for name in os.listdir(where)]
    return Tree(len(pids), threads, descriptors, mounts, tuple(sorted(names)))


def settled_tree(pid: int, *directories: str) -> Tree:
    """Return what a tree holds once it holds still: children come and go behind the last answers."""

    def look() -> Optional[Tree]:
        try:
            return tree(pid, *directories)
        except OSError:  # one of them ended while we looked
            return None

    # The keeper receives what a waiting child sends, its pidfd for one, within a second, on a busy machine in two.
    found = settled(look, 3.0)
    assert found is not None, "processes come and go without end"
    return found


def own_memory(pid: int) -> int:
    """Return the bytes that are a process's own: shared with no other, in memory or swapped out."""
    total = 0
    with open("/proc/%d/smaps_rollup" % pid, encoding="ascii") as file:
        for line in file:
            if line.startswith(("Private_", "Swap:")):
                total += int(line.split()[1]) * 1024
    return total
