"""The course of one run: take a waiting child, hand over the job, await its end, read what it left, give a verdict.

Runs in the server and judges a run from outside; the only thing it believes from inside is "ended with code N", and a
script that forges that only cuts its own result short. Three decisions are made here and nowhere else: what is retried
(`perform`: only a run whose script can't have begun), what is stopped and what is killed before its output is read
(`settle`), and which event means which verdict (`_end_of`).
"""

from __future__ import annotations

import dataclasses
import fcntl
import os
import time
from typing import Callable

from pyexec import messages
from pyexec.config import Config
from pyexec.errors import SandboxError, ServerBusy
from pyexec.job import ENDED, FORBIDDEN, RESOURCE, SCRIPT_NAME, TIMEOUT, Job, Outcome
from pyexec.presence import CallerGone, Presence, is_gone_now
from pyexec.runs import results, workdir
from pyexec.runs.child_handle import ChildHandle
from pyexec.runs.events import Abandoned, Died, Ended, Event, Forbidden, Late, Lost, Unbegun
from pyexec.runs.keeper import Keeper
from pyexec.runs.last_moment import LastMoment
from pyexec.runs.results import RunEnd
from pyexec.runs.usage_watch import Watch, members
from pyexec.runs.written import Placed
from pyexec.timing import Stopwatch

_TAKE_S, _GONE_S = 20.0, 20.0
_TRIES = 3
_INSIDE = ("start", "compile", "run", "end", "report")  # stages between hand-over and the end
_SIGKILL = -9
_BLOCK_BYTES = 4096  # of most file systems
_F_ADD_SEALS, _SEAL_SHRINK_GROW_WRITE = 1033, 2 | 4 | 8  # linux/fcntl.h


class UnbegunError(SandboxError):
    """A child ended before it read its job, so another child may run it."""


def count_nothing(size: int) -> None:
    """Set no bound on how much is collected."""


class Run:
    """Runs jobs, one per call, in children from the keeper's pools. Thread-safe."""

    def __init__(self, config: Config, keeper: Keeper) -> None:
        """Store what all runs share."""
        self._config, self._keeper = config, keeper

    def perform(
        self, job: Job, count: Callable[[int], None] = count_nothing, presence: Presence | None = None
    ) -> tuple[ChildHandle, Outcome]:
        """Run a job; return the child, which is to be released, and what came of it.

        Args:
            count: called with the size of what has been collected, as it is; may wait, or raise to have no more.
            presence: tells when nobody waits for the outcome any more.

        Raises:
            CallerGone: whoever asked has gone, and the run was ended.
            ServerBusy: the disk that runs share is nearly full.
            SandboxError, LayerError: the run could not be started or was lost, through no fault of the script.
        """
        if self._keeper.disk_is_short():
            raise ServerBusy("The server's disk is nearly full.", limit_name="disk")
        stopwatch = Stopwatch(time.monotonic())
        pool, deadline = self._keeper.pool(self._keeper.rows.kind_for(job.text), job.admin), time.monotonic() + _TAKE_S
        tries = 0
        while True:
            child = pool.take(deadline)
            stopwatch.mark("take")
            try:
                if presence is not None:
                    if is_gone_now(presence):
                        raise CallerGone(begun=False)
                    child.watch_caller(presence)
                outcome = self._in(child, job, stopwatch, count)
                if self._keeper.disk_is_short():  # else its files would stay until the client has read the response
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
            placed = hand_over(child, job, self._keeper.owner(child.slot))
            stopwatch.mark("hand_over")
            started = time.monotonic()
            child.send_job(messages.encode_job(job.value, job.locals, bool(job.modules)))
        except (BrokenPipeError, ConnectionResetError) as error:
            raise UnbegunError(f"a child ended before it had its job: {error}") from error
        except OSError as error:
            raise SandboxError(f"a child was lost before its job began: {error}") from error
        deletes = child.admin or report.tmpfs_bytes > 0
        placed_bytes = 0 if child.directory is None else _bytes_on_disk(job)
        watch = Watch(child, budget, report.own_pids, self._keeper.guard, deletes, report.counts_tasks, placed_bytes)
        deadline = started + budget.wall_s
        last_moment = LastMoment(child, started, deadline)
        try:
            end, event = self._await_end(child, deadline, watch, last_moment)
        finally:
            watch.over()
        duration_s = time.monotonic() - started
        stopwatch.mark_reported(_INSIDE, end.timestamps)
        settle(child, event, report.own_pids)
        if report.own_tree:
            end = results.met_a_wall(child, end, budget)
        most = self._config.return_files
        job = with_pictures(job, child, most)
        return results.outcome(child, job, placed, end, duration_s, budget, most, count, last_moment, stopwatch)

    def _await_end(
        self, child: ChildHandle, deadline: float, watch: Watch, last_moment: LastMoment
    ) -> tuple[RunEnd, Event]:
        """Wait for the run's own word, its death, its deadline, or the watch, whichever comes first."""
        while True:
            now = time.monotonic()
            if now >= last_moment.next_at:
                last_moment.ask()
            event = child.next_event(min(deadline, now + watch.pause_s, last_moment.next_at))
            if isinstance(event, (Unbegun, Lost, Abandoned)):
                return self._end_of(event), event
            if isinstance(event, Late) and now < deadline and not watch.is_due():
                continue
            if isinstance(event, (Ended, Died)) and event.cpu_limit_s and time.monotonic() < deadline:
                # RLIMIT_CPU is more than a run can use in its time: it was killed for another reason.
                event = dataclasses.replace(event, cpu_limit_s=0)
            # Checked once more at the end, so that a run shorter than the interval can't evade a limit.
            code = event.code if isinstance(event, Ended) else 0
            exceeded = watch.exceeded(ended=not isinstance(event, Late), failed=code != 0)
            if watch.memory_is_short:
                last_moment.ask_about_memory()
            if exceeded is not None:
                return RunEnd(RESOURCE, code or _SIGKILL, **exceeded._asdict()), Late()
            # A timeout only if the time was up before we looked: a run that ended in time is none if we are late.
            if not isinstance(event, Late) or now >= deadline:
                return self._end_of(event), event

    @staticmethod
    def _end_of(event: Event) -> RunEnd:
        """Return what an event means. Raises SandboxError for those that are no fault of the script, CallerGone."""
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
            # A run's own limits end it in other ways, or the watch sees them. The OOM killer may pick any process when
            # the machine is short of memory, whoever uses it.
            raise SandboxError("a run was killed for nothing of its own; this machine may be short of memory")
        if isinstance(event, Abandoned):
            raise CallerGone(begun=True)
        if isinstance(event, Unbegun):
            raise UnbegunError("a child ended before it read its job")
        raise SandboxError("the zygote was lost during a run")


def with_pictures(job: Job, child: ChildHandle, most: int) -> Job:
    """Return a job that asks for the pictures that its script has shown, too, as far as there is room for them.

    Which those are the script says: it can name any file of its own, as the caller could have.
    """
    if not child.hearsay.pictures:
        return job
    room = max(0, most - len(job.return_files))
    pictures = [name for name in child.hearsay.pictures if name not in job.return_files]
    there = [name for name in pictures if workdir.is_file(child.directory_fd, name)]
    return dataclasses.replace(job, return_files=(*job.return_files, *there[:room])) if there else job


def _bytes_on_disk(job: Job) -> int:
    """Return how much `hand_over` takes, at most, in a directory on disk."""
    sizes = len(job.code.encode("utf-8")), *(len(attachment.content) for attachment in job.attachments)
    return sum(size + _BLOCK_BYTES for size in sizes)


def hand_over(child: ChildHandle, job: Job, owner: tuple[int, int] | None) -> dict[str, Placed]:
    """Write the script, its attachments and its input to where the child will read them; return the attachments.

    Raises:
        OSError: the child has ended, perhaps.
    """
    placed = {}
    workdir.put(child.directory_fd, SCRIPT_NAME, job.code.encode("utf-8"), owner)
    for attachment in job.attachments:
        status = workdir.put(child.directory_fd, attachment.filename, attachment.content, owner)
        placed[attachment.filename] = Placed(status, attachment.content)
    if job.stdin:
        view = memoryview(job.stdin)
        offset = 0
        while offset < len(view):  # pwrite leaves the offset, which the child shares, at the start
            offset += os.pwrite(child.streams[0], view[offset:], offset)
    # It must not grow: the memory of such a file belongs to no process that the kernel could kill for it.
    fcntl.fcntl(child.streams[0], _F_ADD_SEALS, _SEAL_SHRINK_GROW_WRITE)
    return placed


def settle(child: ChildHandle, event: Event, own_pids: bool) -> None:
    """Return once nothing of a run executes any more, so that its output can be read. Only this decides how.

    A run that reports its end waits to be killed, or is hostile and doesn't. Tearing it down would occupy a CPU just
    when the response is made; stopping it costs nothing, and it is killed once the response is out. But SIGSTOP stops
    one thread at once and others only when they are next scheduled. So a run that has several threads, or processes
    besides the script's, or that did not report its end, is killed as a whole and its death awaited.

    Raises:
        SandboxError: it has not died, or that can't be known.
    """
    if isinstance(event, Died) or (isinstance(event, (Ended, Forbidden)) and _is_stopped(child, own_pids)):
        return
    child.kill()
    if not child.await_gone(_GONE_S):
        raise SandboxError("a run that was killed has not ended, or nobody can tell")


def _is_stopped(child: ChildHandle, own_pids: bool) -> bool:
    """Stop a run; return whether all of it is stopped: one single-threaded process, and an admin's supervisor."""
    try:
        child.stop()
        # Only now, when none of them can create another, is what we see complete.
        first = child.first_process()
        if first is None:
            return False
        if not child.admin:
            return first.threads == 1
        found = [each for each in members(first, own_pids) if each.state != b"Z"]
    except OSError:  # Linux before 6.9 can't stop a group by a pidfd
        return False
    return len(found) == 2 and all(each.threads == 1 for each in found)
