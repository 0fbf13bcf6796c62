"""The watch: what a run uses that no rlimit counts, looked at from outside while it runs.

Works in the server, twenty times a second from a run's 50th millisecond on, so that a short run costs nothing. Reads
`/proc` of the server's own pid namespace: of a public run one file, of an admin run, which may have many processes,
their list. The directory is walked where it is no tmpfs of the run's own.
"""

from __future__ import annotations

import os
from typing import Iterator, List, NamedTuple, Optional, Tuple

from pyexec.errors import SandboxError
from pyexec.job import Budget
from pyexec.runs import workdir
from pyexec.runs.guard import Guard
from pyexec.runs.handles import Child

THREADS = 32  # of an admin's processes together, beside the first of each
# What no rlimit counts may come on top of the budget, which RLIMIT_AS holds to the byte for what it does count.
_MEMORY_QUARTERS = 5
_OUTPUT_TIMES = 4
_MEMORY_LINES = (b"RssAnon:", b"RssShmem:", b"VmPTE:")


class Watch:
    """Looks at one run."""

    def __init__(self, child: Child, budget: Budget, admin: bool, on_disk: bool, guard: Optional[Guard] = None) -> None:
        """Prepare; looks at nothing yet.

        Args:
            admin: the run may have many processes. on_disk: its directory is no tmpfs of its own. guard: of that disk.
        """
        self._child, self._budget, self._admin, self._on_disk, self._guard = child, budget, admin, on_disk, guard
        self._baseline_bytes: Optional[int] = None

    def exceeded(self, ended: bool) -> Optional[Tuple[str, int]]:
        """Return the resource of which the run uses too much, with its limit; None while all is well.

        Args:
            ended: the run is over; what one process had in memory is no matter any more.

        Raises:
            SandboxError: nothing would bound the run, as where /proc hides it; or the disk is nearly full, and it must
                end through no fault of its own.
        """
        found = self._output()
        if found is None and (self._admin or not ended):
            found = self._processes()
        if found is None and self._on_disk:
            found = self._directory(ended)
        return found

    def over(self) -> None:
        """Take note that nobody looks any more."""
        if self._guard is not None:
            self._guard.ended(self._child)

    def _output(self) -> Optional[Tuple[str, int]]:
        # The second is the kernel's own limit of a file (`kernel.rlimits`): what meets it has been cut there.
        most = min(_OUTPUT_TIMES * self._budget.output_bytes, self._budget.workdir_bytes - 1)
        if any(os.fstat(fd).st_size > most for fd in self._child.streams[1:]):
            return "output", most
        return None

    def _processes(self) -> Optional[Tuple[str, int]]:
        budget = self._budget
        first = _process(_pid_of(self._child.pidfd))
        if first is None:
            if _pid_of(self._child.pidfd):
                raise SandboxError("the watch can't see the processes of a run: /proc hides them")
            return None  # it has been reaped, and word of that is on its way
        if self._baseline_bytes is None:
            # A process forked from the template starts with its memory, shared until written. The template is asked,
            # not the run: by now that may have taken any amount.
            self._baseline_bytes = _memory_bytes(first.parent)
        processes = list(_members(first.session)) if self._admin else [first]
        # Beside the script there is its keeper. The dead that nobody has reaped count: they take places too.
        if len(processes) > budget.processes + 2:
            return "processes", budget.processes
        if sum(max(0, process.threads - 1) for process in processes) > THREADS:
            return "threads", THREADS
        memory_bytes = sum(max(0, _memory_bytes(process.pid) - self._baseline_bytes) for process in processes)
        if memory_bytes > budget.memory_bytes * _MEMORY_QUARTERS // 4:
            return "memory", budget.memory_bytes
        return None

    def _directory(self, ended: bool) -> Optional[Tuple[str, int]]:
        budget = self._budget
        found = workdir.usage(self._child.directory_fd, budget.workdir_files)
        if found.size_bytes > budget.workdir_bytes:
            return "disk", budget.workdir_bytes
        if found.files > budget.workdir_files:
            return "files", budget.workdir_files
        victim = self._guard.look(self._child, found.size_bytes) if self._guard is not None and not ended else None
        if victim is None:
            return None
        if not victim.at_fault:
            raise SandboxError("the disk of --work-dir is nearly full; a run had to be ended that had taken little")
        return "disk", victim.taken_bytes


class _Process(NamedTuple):
    """A line of /proc/N/stat, as far as it matters here."""

    pid: int
    parent: int
    session: int
    threads: int


def can_see(child: Child) -> bool:
    """Return whether /proc shows us a child, which hidepid or a foreign pid namespace would prevent."""
    return _process(_pid_of(child.pidfd)) is not None


def _pid_of(pidfd: int) -> int:
    """Return the process's id in our own pid namespace, 0 if it has been reaped."""
    with open("/proc/self/fdinfo/%d" % pidfd) as file:
        for line in file:
            if line.startswith("Pid:"):
                return max(0, int(line.split()[1]))
    return 0


def _process(pid: int) -> Optional[_Process]:
    try:
        with open("/proc/%d/stat" % pid, "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None  # ended between two looks, or hidden
    return _Process(pid, int(fields[1]), int(fields[3]), int(fields[17]))


def _members(session: int) -> Iterator[_Process]:
    """Yield the processes of a session. Threads have no entry of their own in /proc: it lists by Tgid."""
    for name in os.listdir("/proc"):
        process = _process(int(name)) if name.isdigit() else None
        if process is not None and process.session == session:
            yield process


def _memory_bytes(pid: int) -> int:
    """Return what a process has in memory that is of no file, and its page tables; 0 if it has ended.

    Shared memory counts in each process that has it. The first thread of a process may have ended while others go on;
    then they are asked.
    """
    lines = _memory_lines("/proc/%d/status" % pid)
    if not lines:
        try:
            threads = os.listdir("/proc/%d/task" % pid)
        except OSError:
            return 0
        lines = next(filter(None, (_memory_lines("/proc/%d/task/%s/status" % (pid, name)) for name in threads)), [])
    return sum(int(line.split()[1]) for line in lines) * 1024


def _memory_lines(path: str) -> List[bytes]:
    try:
        with open(path, "rb") as file:
            return [line for line in file if line.startswith(_MEMORY_LINES)]
    except OSError:
        return []  # ended between two looks
