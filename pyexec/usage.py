"""The watch: what a run uses that no rlimit counts, looked at from outside while it runs.

Works in the server, twenty times a second and only for runs that need it: admin runs, which may have many processes,
and runs whose directory is no tmpfs of their own. Reads `/proc` of the server's own pid namespace.
"""

from __future__ import annotations

import os
from typing import Iterator, Optional, Tuple

from pyexec import workspace
from pyexec.errors import SandboxError
from pyexec.job import Budget
from pyexec.template import Child


class Watch:
    """Looks at one run."""

    def __init__(self, child: Child, budget: Budget, processes: bool, directory: bool) -> None:
        """Prepare to look at processes and memory, at the directory, at both or at nothing.

        Raises:
            SandboxError: the run's processes can't be seen, as where /proc hides them; nothing would bound them then.
        """
        self._child, self._budget = child, budget
        self._session = _pid_of(child.pidfd) if processes else 0
        self._directory = directory
        self._baseline = _memory_bytes(self._session) if self._session else 0
        if processes and not self._baseline:
            raise SandboxError("the watch can't see the processes of an admin run: it has ended, or /proc hides it")

    @property
    def needed(self) -> bool:
        """Whether there is anything to look at."""
        return bool(self._session) or self._directory

    def exceeded(self) -> Optional[Tuple[str, int]]:
        """Return the resource of which the run uses too much, with its limit; None while all is well."""
        budget = self._budget
        if self._session:
            pids = list(_session_members(self._session))
            # Beside the script there is its keeper. The dead that nobody has reaped count: they take places too.
            if len(pids) > budget.processes + 2:
                return "processes", budget.processes
            # Each process forked from the template starts with its memory, shared until written.
            used = sum(max(0, _memory_bytes(pid) - self._baseline) for pid in pids)
            if used > budget.memory_bytes:
                return "memory", budget.memory_bytes
        if self._directory:
            found = workspace.usage(self._child.directory_fd, budget.workdir_files)
            if found.size_bytes > budget.workdir_bytes:
                return "disk", budget.workdir_bytes
            if found.files > budget.workdir_files:
                return "files", budget.workdir_files
        return None


def _pid_of(pidfd: int) -> int:
    """Return the process's id in our own pid namespace, 0 if it has been reaped."""
    with open("/proc/self/fdinfo/%d" % pidfd) as file:
        for line in file:
            if line.startswith("Pid:"):
                return max(0, int(line.split()[1]))
    return 0


def _session_members(session: int) -> Iterator[int]:
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open("/proc/%s/stat" % name, "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue  # ended between two looks
        if int(fields[3]) == session:
            yield int(name)


def _memory_bytes(pid: int) -> int:
    """Return the memory of a process that is not of files: anonymous and shared; 0 if it has ended.

    Shared memory counts in each process that has it. The first thread of a process may have ended while others go on;
    then they are asked.
    """
    try:
        threads = os.listdir("/proc/%d/task" % pid)
    except OSError:
        return 0
    for thread in threads:
        try:
            with open("/proc/%d/task/%s/status" % (pid, thread), "rb") as file:
                lines = [line.split() for line in file if line.startswith((b"RssAnon:", b"RssShmem:"))]
        except OSError:
            continue  # ended between two looks
        if lines:
            return sum(int(line[1]) for line in lines) * 1024
    return 0
