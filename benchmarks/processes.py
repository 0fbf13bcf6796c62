"""What a tree of processes holds, read from /proc: memory, descriptors, threads."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass

_STILL_S = 0.5
_LONGEST_S = 30.0


@dataclass(frozen=True)
class Holdings:
    """Of a process and all below it. Memory as PSS: a page that several share counts in parts."""

    pss_bytes: int
    processes: int
    descriptors: int
    threads: int


def _tree(pid: int) -> list[int]:
    parents: dict[int, int] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue  # ended in between
        parents[int(name)] = int(fields[1])
    found = {pid}
    while True:
        more = {child for child, parent in parents.items() if parent in found} - found
        if not more:
            return sorted(found)
        found |= more


def settled_tree(pid: int) -> list[int]:
    """Return a process and its descendants, once none has started or ended for a while."""
    deadline, since, last = time.monotonic() + _LONGEST_S, time.monotonic(), _tree(pid)
    while time.monotonic() - since < _STILL_S:
        if time.monotonic() > deadline:
            raise RuntimeError(f"the processes below {pid} don't come to rest")
        time.sleep(0.02)
        now = _tree(pid)
        if now != last:
            since, last = time.monotonic(), now
    return last


def holdings(pid: int) -> Holdings:
    """Return what a process and all below it hold. Raises PermissionError, where only root may look."""
    tree = settled_tree(pid)
    pss = descriptors = threads = 0
    for one in tree:
        with open(f"/proc/{one}/smaps_rollup", encoding="ascii") as file:
            pss += 1024 * int(re.findall(r"^Pss:\s+(\d+) kB", file.read(), re.MULTILINE)[0])
        descriptors += len(os.listdir(f"/proc/{one}/fd"))
        threads += len(os.listdir(f"/proc/{one}/task"))
    return Holdings(pss, len(tree), descriptors, threads)
