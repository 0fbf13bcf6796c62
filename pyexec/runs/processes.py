"""A run's processes as `/proc` shows them to the server: which there are, their threads, their memory.

Each read is a snapshot of a run that goes on meanwhile: processes that end between two reads are skipped.
"""

from __future__ import annotations

import contextlib
import os
import select
from typing import Iterator, NamedTuple

_MEMORY_LINES = (b"RssAnon:", b"RssShmem:", b"VmPTE:")
_STILL = (b"T", b"t", b"Z", b"X")  # stopped, or ended


class Process(NamedTuple):
    """The fields of `/proc/N/stat` that matter here."""

    pid: int
    state: bytes
    parent: int
    session: int
    threads: int


def pid_of(pidfd: int) -> int:
    """Return a process's id in the server's pid namespace, 0 if it has been reaped."""
    with open(f"/proc/self/fdinfo/{pidfd}", "rb", buffering=0) as file:
        for line in file.read(1024).splitlines():
            if line.startswith(b"Pid:"):
                return max(0, int(line.split()[1]))
    return 0


def open_stat(pidfd: int) -> int:
    """Return a descriptor for a process's `/proc/N/stat`; −1 if the process has ended or is hidden.

    It refers to that very process for good, even if its id is reused, and reading it again takes a single call.
    """
    pid = pid_of(pidfd)
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC) if pid else -1
    except OSError:
        return -1
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    if fd >= 0 and poll.poll(0):  # it has ended, so the id may be another's by now
        os.close(fd)
        return -1
    return fd


def read_stat(fd: int) -> Process | None:
    """Return a process, given the descriptor of its stat; None if it has been reaped."""
    try:
        return _parsed(os.pread(fd, 1024, 0))
    except OSError:
        return None


def process(pid: int, task: str = "") -> Process | None:
    """Return a process by its id, or one thread of it by "/task/N"; None if it has ended or is hidden."""
    try:
        with open(f"/proc/{pid}{task}/stat", "rb", buffering=0) as file:
            return _parsed(file.read(1024))
    except OSError:
        return None


def _parsed(line: bytes) -> Process | None:
    fields = line.rpartition(b")")[2].split()
    return Process(int(line.split(None, 1)[0]), fields[0], int(fields[1]), int(fields[3]), int(fields[17]))


def below(first: Process) -> Iterator[Process]:
    """Yield a process and its descendants: all of a pid namespace, if it is that namespace's process 1.

    A process that loses its parent during the walk is missed once.
    """
    waiting = [first.pid]
    while waiting:
        pid = waiting.pop()
        found = process(pid)
        if found is None:
            continue
        yield found
        try:
            threads = os.listdir(f"/proc/{pid}/task") if found.threads > 1 else [str(pid)]
        except OSError:
            continue
        for thread in threads:
            try:
                with open(f"/proc/{pid}/task/{thread}/children", "rb", buffering=0) as file:
                    waiting += map(int, file.read(65536).split())
            except OSError:
                continue


def is_stopped(found: Process) -> bool:
    """Return whether no thread of a process executes anything, in the kernel neither."""
    if found.threads == 1:
        return found.state in _STILL
    try:
        names = os.listdir(f"/proc/{found.pid}/task")
    except FileNotFoundError:
        return True
    except OSError:
        return False
    tasks = (process(found.pid, f"/task/{name}") for name in names)
    return all(task is None or task.state in _STILL for task in tasks)


def tasks_of_machine() -> int:
    """Return how many processes and threads there are, of everybody; 0 where that isn't told. A cheap look."""
    try:
        with open("/proc/loadavg", "rb", buffering=0) as file:
            return int(file.read(128).split()[3].partition(b"/")[2])
    except (OSError, IndexError, ValueError):
        return 0


def set_nice(pid: int, value: int) -> None:
    """Give every thread of a process this nice value, as far as it has none that is higher.

    A root without CAP_SYS_NICE, as in most containers, may not do so for another uid; then nothing happens.
    """
    try:
        threads = [int(name) for name in os.listdir(f"/proc/{pid}/task")]
    except OSError:
        return  # ended between two looks
    for thread in threads:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.getpriority(os.PRIO_PROCESS, thread) < value:
                os.setpriority(os.PRIO_PROCESS, thread, value)


def memory_bytes(pid: int) -> int:
    """Return the bytes of a process's memory that belong to no file, with its page tables; 0 if it has ended.

    Shared memory counts in each process that maps it. If a process's first thread has ended while others go on, the
    figures come from one of those.
    """
    lines = _memory_lines(f"/proc/{pid}/status")
    if not lines:
        try:
            threads = os.listdir(f"/proc/{pid}/task")
        except OSError:
            return 0
        lines = next(filter(None, (_memory_lines(f"/proc/{pid}/task/{name}/status") for name in threads)), [])
    return sum(int(line.split()[1]) for line in lines) * 1024


def _memory_lines(path: str) -> list[bytes]:
    try:
        with open(path, "rb") as file:
            return [line for line in file if line.startswith(_MEMORY_LINES)]
    except OSError:
        return []  # it has ended
