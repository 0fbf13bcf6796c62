"""The course of one run: a waiting child, its files, its deadline, its end, what it left, the verdict.

Works in the server. What is said of a run is judged from outside; the one thing believed from inside is "ended with
code N", and a script that forges it only cuts its own answer short. Three things stand here and nowhere else: what is
tried again (`perform`: only a run that no script can have begun), what is stopped or killed before output is read
(`settle`), and which event means which verdict (`_end_of`).
"""

from __future__ import annotations

import dataclasses
import fcntl
import math
import os
import time
from typing import Callable

from pyexec import messages
from pyexec.config import Config
from pyexec.errors import SandboxError, ServerBusy
from pyexec.job import ENDED, FORBIDDEN, RESOURCE, SCRIPT_NAME, TIMEOUT, ZYGOTES, Job, Outcome
from pyexec.runs import results, workdir
from pyexec.runs.child_handle import ChildHandle, Died, Ended, Event, Forbidden, Late, Lost, Unbegun
from pyexec.runs.keeper import Keeper
from pyexec.runs.results import RunEnd
from pyexec.runs.usage_watch import Watch, members
from pyexec.timing import Stopwatch

_TAKE_S, _GONE_S = 20.0, 20.0
_TRIES = 3
_WATCH_S = 0.05
_LAST_CALL_S = 0.1  # before the deadline
_INSIDE = ("start", "compile", "run", "end", "report")  # stages between hand-over and the end
_SIGKILL = -9
_F_ADD_SEALS, _SEAL_SHRINK_GROW_WRITE = 1033, 2 | 4 | 8  # linux/fcntl.h


class UnbegunError(SandboxError):
    """A child ended before it read its job, so that another may have it."""


def count_nothing(size: int) -> None:
    """Leave it to the caller how much is collected."""


class Run:
    """Performs jobs, one at a call, in children that a keeper keeps. Thread-safe."""

    def __init__(self, config: Config, keeper: Keeper) -> None:
        """Take what all runs have in common."""
        self._config, self._keeper = config, keeper

    def perform(self, job: Job, count: Callable[[int], None] = count_nothing) -> tuple[ChildHandle, Outcome]:
        """Run a job; return the child, which is to be released, and what came of it.

        Args:
            count: called with the size of what has been collected, as it is; may wait, or raise to have no more.

        Raises:
            ServerBusy: the disk that runs share is nearly full.
            SandboxError, LayerError: the run could not be started or was lost; no fault of the script.
        """
        if self._keeper.disk_is_short():
            raise ServerBusy("The server's disk is nearly full.", limit_name="disk")
        stopwatch = Stopwatch(time.monotonic())
        pool, deadline = self._keeper.pool(kind_for(job.code), job.admin), time.monotonic() + _TAKE_S
        tries = 0
        while True:
            child = pool.take(deadline)
            stopwatch.mark("take")
            try:
                outcome = self._in(child, job, stopwatch, count)
                if self._keeper.disk_is_short():  # else what it left would stay until its caller has taken the answer
                    self._keeper.clear(child)
                return child, outcome
            except BaseException as error:
                self._keeper.release(child)
                tries += 1
                if not isinstance(error, UnbegunError) or tries == _TRIES:
                    raise

    def _in(self, child: ChildHandle, job: Job, stopwatch: Stopwatch, count: Callable[[int], None]) -> Outcome:
        report, budget = self._keeper.report, self._config.budget
        try:
            hand_over(child, job, self._keeper.owner(child.slot))
            stopwatch.mark("hand_over")
            started = time.monotonic()
            child.send_job()
        except (BrokenPipeError, ConnectionResetError) as error:
            raise UnbegunError(f"a child ended before it had its job: {error}") from error
        except OSError as error:
            raise SandboxError(f"a child was lost before its job began: {error}") from error
        watch = Watch(child, budget, report.own_pids, self._keeper.guard)
        try:
            end, event = self._await_end(child, started + budget.wall_s, watch)
        finally:
            watch.over()
        duration_s = time.monotonic() - started
        stopwatch.mark_reported(_INSIDE, end.timestamps)
        settle(child, event, report.own_pids)
        if report.own_tree:
            end = results.met_a_wall(child, end, budget)
        outcome = results.outcome(child, job, end, duration_s, budget, count)
        stopwatch.mark("collect")
        return dataclasses.replace(outcome, stages=tuple(stopwatch.stages))

    def _await_end(self, child: ChildHandle, deadline: float, watch: Watch) -> tuple[RunEnd, Event]:
        """Wait for the run's own word, its death, its deadline, or the watch, whichever comes first."""
        last_call = deadline - min(_LAST_CALL_S, self._config.budget.wall_s / 2)
        while True:
            now = time.monotonic()
            if now >= last_call:
                child.send(messages.LAST_CALL)
                last_call = math.inf
            event = child.next_event(min(deadline, last_call, now + _WATCH_S))
            if isinstance(event, (Unbegun, Lost)):
                return self._end_of(event), event
            if isinstance(event, (Ended, Died)) and event.cpu_limit_s and time.monotonic() < deadline:
                # RLIMIT_CPU is more than a run can use in its time: it was killed for another reason.
                event = dataclasses.replace(event, cpu_limit_s=0)
            # Looked at once more at the end: a run shorter than the interval is no way around a limit.
            exceeded = watch.exceeded(ended=not isinstance(event, Late))
            if exceeded is not None:
                return RunEnd(RESOURCE, _SIGKILL, resource=exceeded[0], limit=exceeded[1]), Late()
            # Late only if it was so before we looked: what ended in time is no timeout because we came to it late.
            if not isinstance(event, Late) or now >= deadline:
                return self._end_of(event), event

    @staticmethod
    def _end_of(event: Event) -> RunEnd:
        """Return what an event means. Raises SandboxError for those that are no fault of the script."""
        if isinstance(event, (Ended, Died)) and event.cpu_limit_s:
            return RunEnd(RESOURCE, _SIGKILL, resource="cpu", limit=event.cpu_limit_s)
        if isinstance(event, Ended):
            return RunEnd(ENDED, event.code, event.timestamps)
        if isinstance(event, Forbidden):
            return RunEnd(FORBIDDEN, _SIGKILL, modules=event.names)
        if isinstance(event, Late):
            return RunEnd(TIMEOUT, _SIGKILL)
        if isinstance(event, Died) and event.code != _SIGKILL:
            return RunEnd(ENDED, event.code)
        if isinstance(event, Died):
            # Each limit of its own ends a run otherwise, or is seen by the watch. The kernel's memory killer takes whom
            # it likes, for want of memory that others may have.
            raise SandboxError("a run was killed for nothing of its own; this machine may be short of memory")
        if isinstance(event, Unbegun):
            raise UnbegunError("a child ended before it read its job")
        raise SandboxError("the zygote was lost during a run")


def hand_over(child: ChildHandle, job: Job, owner: tuple[int, int] | None) -> None:
    """Put the script, its attachments and its input where the child will find them. Raises OSError."""
    workdir.put(child.directory_fd, SCRIPT_NAME, job.code.encode("utf-8"), owner)
    for attachment in job.attachments:
        workdir.put(child.directory_fd, attachment.filename, attachment.content, owner)
    if job.stdin:
        view = memoryview(job.stdin)
        offset = 0
        while offset < len(view):  # pwrite leaves the offset, which the child shares, at the start
            offset += os.pwrite(child.streams[0], view[offset:], offset)
    # Nothing may grow in it: memory of such a file belongs to no process that the kernel could end for it.
    fcntl.fcntl(child.streams[0], _F_ADD_SEALS, _SEAL_SHRINK_GROW_WRITE)


def settle(child: ChildHandle, event: Event, own_pids: bool) -> None:
    """Return when nothing of a run executes any more, so that its output can be read. The only place that decides how.

    A run that says that it has ended waits for its end, or says so and is hostile. To tear it down would take a core
    just when the answer is made; to stop it costs nothing, and it is killed once the answer is out. But SIGSTOP reaches
    one thread at once and others when they are next scheduled: of a run with more than one thread, or with processes
    beside the script's, and of every run that did not end by its own word, all is killed and its death awaited.

    Raises:
        SandboxError: it has not ended, or nobody can tell.
    """
    if isinstance(event, Died) or (isinstance(event, (Ended, Forbidden)) and _is_stopped(child, own_pids)):
        return
    child.kill()
    if not child.await_gone(_GONE_S):
        raise SandboxError("a run that was killed has not ended, or nobody can tell")


def _is_stopped(child: ChildHandle, own_pids: bool) -> bool:
    """Stop a run; return whether it is all stopped: one process with one thread, and an admin's supervisor."""
    try:
        child.stop()
        # Only now, when none of them can make another: what is seen is all there is.
        first = child.first_process()
        if first is None:
            return False
        if not child.admin:
            return first.threads == 1
        found = [each for each in members(first, own_pids) if each.state != b"Z"]
    except OSError:  # Linux before 6.9 can't stop a group by a pidfd
        return False
    return len(found) == 2 and all(each.threads == 1 for each in found)


def kind_for(code: str) -> str:
    """Return the lightest kind of zygote that has every library which a script names.

    The text is searched, never parsed: it is hostile. A script that hides a name, or has it in an attached module,
    loads the library by itself, and waits for it.
    """
    named = {name for kind in ZYGOTES for name in kind.libraries if name in code}
    return next(kind.name for kind in ZYGOTES if named <= set(kind.libraries))
