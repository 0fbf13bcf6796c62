"""The watch: what a run uses that no rlimit counts, looked at from outside while it runs.

Runs in the server, twenty times a second from a run's 50th millisecond on, so a short run costs nothing. It reads
`/proc` in the server's own pid namespace: one file for a public run; for an admin run, which may have many processes,
the files of each. A run's directory is walked only if it isn't a tmpfs of its own.

Where the kernel doesn't count an admin run's tasks, those of the whole machine are looked at a hundred times a second,
which is cheap: in a twentieth a bomb of threads grows so large that it takes a second to see and to end it.
"""

from __future__ import annotations

import functools
import math
import os
import time
from typing import Iterator, NamedTuple

from pyexec.errors import SandboxError
from pyexec.job import Budget
from pyexec.runs import deleted_files, group_kill, processes, workdir
from pyexec.runs.child_handle import ChildHandle
from pyexec.runs.deleted_files import Held
from pyexec.runs.disk_guard import Guard
from pyexec.runs.processes import Process
from pyexec.runs.standstill import Standstill
from pyexec.runs.workdir import Usage
from pyexec.runs.workdirs_on_disk import RunDirectory

# What no rlimit counts may come on top of the budget, which RLIMIT_AS holds to the byte for what it does count.
_MEMORY_QUARTERS = 5
_OUTPUT_TIMES = 4
_PAUSE_S, _SHORT_PAUSE_S = 0.05, 0.01
_MANY_MORE = 16  # tasks of the machine since the last look
_NICE = 5  # of a run of one thread, as `kernel.rlimits` sets it
_MOST_PRIORITY, _LEAST_PRIORITY = -20, 19


class Excess(NamedTuple):
    """A resource that a run uses too much of, and its limit; if it crowds others out within it, by how many bytes."""

    resource: str
    limit: int
    crowding_bytes: int = 0


class Watch:
    """Looks at one run.

    Attributes:
        pause_s: how long to wait before asking whether a look is due.
    """

    def __init__(
        self,
        child: ChildHandle,
        budget: Budget,
        own_pids: bool,
        guard: Guard | None = None,
        deletes: bool = True,
        counted: bool = True,
        placed_bytes: int = 0,
    ) -> None:
        """Prepare to watch a run; nothing of it is read yet.

        Args:
            own_pids: whether the run has its own pid namespace. guard: for the disk that its directory is on, if any.
            deletes: whether it may delete files there, and so hold some that have no name. counted: whether the kernel
            counts the run's processes and threads. placed_bytes: what the server put into its directory.
        """
        self._child, self._budget, self._own_pids, self._guard = child, budget, own_pids, guard
        self._deletes, self._placed_bytes = deletes, placed_bytes
        self._standstill = Standstill(child, self._all)
        self._was_in_flux = False  # names in its directory changed during the last look
        self._baseline_bytes: int | None = None
        self.memory_is_short = False  # whether the run has used all of its budget, so that little more will end it
        self._is_quick = child.admin and not counted
        self.pause_s = _SHORT_PAUSE_S if self._is_quick else _PAUSE_S
        self._looked_at, self._tasks = time.monotonic(), processes.tasks_of_machine() if self._is_quick else 0
        self._nice = _MOST_PRIORITY

    def is_due(self) -> bool:
        """Return whether to look: after the usual pause, or at once where the machine has many more tasks by now."""
        if not self._is_quick or time.monotonic() - self._looked_at >= _PAUSE_S:
            return True
        return processes.tasks_of_machine() >= self._tasks + _MANY_MORE

    def exceeded(self, ended: bool, failed: bool = False) -> Excess | None:
        """Return the resource that the run uses too much of; None while it is within all limits.

        Args:
            ended: the run is over, so the memory of a single process no longer matters. failed: by an exit code.

        Raises:
            SandboxError: nothing would bound the run, because /proc hides it, say; or the disk is nearly full and the
                run must be ended through no fault of its own.
        """
        if self._is_quick:
            self._looked_at, self._tasks = time.monotonic(), processes.tasks_of_machine()
        if not ended:
            self._standstill.end()  # if the last look failed so that it couldn't
        found = self._output()
        if found is None and (self._child.admin or not ended):
            found = self._processes()
        if found is None and self._child.directory is not None:
            found = self._directory(ended, failed)
        return found

    def over(self) -> None:
        """Note that the run is no longer watched."""
        if self._guard is not None:
            self._guard.ended(self._child)

    def _output(self) -> Excess | None:
        # The second is the kernel's file size limit (`kernel.rlimits`): output that reaches it has been cut off there.
        most = min(_OUTPUT_TIMES * self._budget.output_bytes, self._budget.workdir_bytes - 1)
        if any(os.fstat(fd).st_size > most for fd in self._child.streams[1:]):
            return Excess("output", most)
        return None

    def _processes(self) -> Excess | None:
        budget = self._budget
        first = self._child.first_process()
        if first is None:
            if processes.pid_of(self._child.pidfd):
                raise SandboxError("the watch can't see the processes of a run: /proc hides them")
            return None  # it has been reaped, and the message about that is on its way
        if self._baseline_bytes is None:
            # A process forked from the zygote starts with the zygote's memory, shared until written. Read from the
            # zygote, since by now the run may have allocated any amount.
            self._baseline_bytes = processes.memory_bytes(first.parent)
        found = self._all(first)
        # The script and its supervisor come on top. Zombies count: they take up process ids too.
        if len(found) > budget.processes + 2:
            return Excess("processes", budget.processes)
        tasks = sum(process.threads for process in found)
        if tasks - len(found) > budget.threads:
            return Excess("threads", budget.threads)
        self._weigh(found, tasks)
        memory_bytes = sum(max(0, processes.memory_bytes(each.pid) - self._baseline_bytes) for each in found)
        self.memory_is_short = self.memory_is_short or memory_bytes > budget.memory_bytes
        if memory_bytes > budget.memory_bytes * _MEMORY_QUARTERS // 4:
            return Excess("memory", budget.memory_bytes)
        return None

    def _all(self, first: Process) -> list[Process]:
        return list(members(first, self._own_pids)) if self._child.admin else [first]

    def _weigh(self, found: list[Process], tasks: int) -> None:
        """Give a run of many threads a lower priority, so that all of them together weigh as much as one thread.

        The kernel gives each step of priority a fifth less time. A new thread has that of the one that started it.
        """
        if tasks > len(found):
            steps = math.ceil(math.log(tasks - self._child.admin) / math.log(1.25))  # without the supervisor
            nice_of_one = os.getpriority(os.PRIO_PROCESS, 0) + _NICE
            self._nice = max(self._nice, min(_LEAST_PRIORITY, nice_of_one + steps))
            for each in found:
                processes.set_nice(each.pid, self._nice)

    def _directory(self, ended: bool, failed: bool) -> Excess | None:
        is_still, must_stop = False, self._was_in_flux and self._standstill.is_due()
        if not must_stop:
            found, kept = self._holdings()
            must_stop = found.in_flux and (
                ended or self._standstill.is_due() or self._must_be_sure(found, kept, failed)
            )
        if must_stop:
            with self._standstill.hold(for_good=ended) as is_still:
                found, kept = self._holdings()
        self._was_in_flux = found.in_flux
        excess = self._excess(found, kept, failed)
        if excess is not None or self._guard is None or ended:
            return excess
        unsure = kept.perhaps_more or (found.vanished and not is_still)
        victim = self._guard.look(self._child, found.size_bytes + kept.size_bytes, unsure)
        if victim is None:
            return None
        if not victim.at_fault:
            raise SandboxError("the disk of --work-dir is nearly full; a run had to be ended that had taken little")
        return Excess("disk", self._budget.workdir_bytes, victim.taken_bytes)

    def _holdings(self) -> tuple[Usage, Held]:
        """Return what the run holds, by name and without."""
        directory = self._child.directory
        assert directory is not None, "asked only where there is one"
        # Before the look at what has a name: a file that is deleted in between must not count twice.
        first = self._child.first_process() if self._deletes else None
        kept = deleted_files.held(self._all(first) if first else [], directory.path, os.fstat(directory.fd).st_dev)
        return workdir.usage(directory.fd, self._budget.workdir_files + len(RunDirectory.PARTS)), kept

    def _must_be_sure(self, found: Usage, kept: Held, failed: bool) -> bool:
        """Return whether to stop the run however lately it was: something is about to be held against a run."""
        return self._excess(found, kept, failed) is not None or (self._guard is not None and self._guard.short())

    def _excess(self, found: Usage, kept: Held, failed: bool) -> Excess | None:
        budget = self._budget
        # A file that has met RLIMIT_FSIZE comes on top of what was there. As on a tmpfs, only a script that fails over
        # that has met a limit.
        if found.size_bytes + kept.size_bytes > budget.workdir_bytes + (0 if failed else self._placed_bytes):
            return Excess("disk", budget.workdir_bytes)
        if found.files > budget.workdir_files + len(RunDirectory.PARTS):
            return Excess("files", budget.workdir_files)
        return None


def can_see(child: ChildHandle) -> bool:
    """Return whether /proc shows a child; with hidepid, or in a foreign pid namespace, it doesn't."""
    return child.first_process() is not None


def members(first: Process, own_pids: bool) -> Iterator[Process]:
    """Yield all processes of a run, given its first; in a pid namespace all of them descend from that."""
    return processes.below(first) if own_pids and _children_are_told() else group_kill.members(first.session)


@functools.lru_cache(maxsize=None)
def _children_are_told() -> bool:
    return os.path.exists(f"/proc/self/task/{os.getpid()}/children")  # CONFIG_PROC_CHILDREN
