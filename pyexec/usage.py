"""The watch: what a run uses that no rlimit counts, looked at from outside while it runs.

Works in the server, a few times a second and only for runs that need it: admin runs, which may have many processes,
and runs whose directory is no tmpfs of their own. Reads `/proc` of the server's own pid namespace.
"""

from __future__ import annotations

import os
from typing import Iterator, Optional, Tuple

from pyexec import workspace
from pyexec.job import Budget
from pyexec.template import Child

_PAGE = os.sysconf("SC_PAGE_SIZE")


class Watch:
    """Looks at one run."""

    def __init__(self, child: Child, budget: Budget, processes: bool, directory: bool) -> None:
        """Prepare to look at processes and memory, at the directory, at both or at nothing."""
        self._child, self._budget = child, budget
        self._session = _pid_of(child.pidfd) if processes else 0
        self._directory = directory
        self._baseline = _anonymous_bytes(self._session) if self._session else 0

    @property
    def needed(self) -> bool:
        """Whether there is anything to look at."""
        return bool(self._session) or self._directory

    def exceeded(self) -> Optional[Tuple[str, int]]:
        """Return the resource of which the run uses too much, with its limit; None while all is well."""
        budget = self._budget
        if self._session:
            pids = list(_session_members(self._session))
            # Beside the script there may be a keeper; both are ours.
            if len(pids) > budget.processes + 2:
                return "processes", budget.processes
            # Each process forked from the template starts with its memory, shared until written.
            used = sum(_anonymous_bytes(pid) for pid in pids) - len(pids) * self._baseline
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
        if int(fields[3]) == session and fields[0] not in (b"Z", b"X"):
            yield int(name)


def _anonymous_bytes(pid: int) -> int:
    """Return the memory of a process that is not of files: resident less shared pages; 0 if it has ended."""
    try:
        with open("/proc/%d/statm" % pid, "rb") as file:
            _, resident, shared = file.read().split()[:3]
    except OSError:
        return 0
    return max(0, int(resident) - int(shared)) * _PAGE
