"""The keeper: the one thread that keeps zygotes alive and children waiting, and cleans up after runs.

It is level-triggered, like the master process of a mail system: it looks at the state of things and repairs it, again
and again; waking it only makes it look now. So a message that is lost, duplicated or late costs one look at most, and a
report about something unknown is no error: the keeper had found it gone already. The kernel sends the parent-death
signal when the *thread* that forked exits, so only this thread, which lives as long as the server, starts the nursery.
"""

from __future__ import annotations

import collections
import contextlib
import os
import select
import threading
import time

from pyexec import log
from pyexec.config import Config
from pyexec.errors import LayerError, SandboxError
from pyexec.job import ADDED, HostReport
from pyexec.runs import requirements, usage_watch, workdir
from pyexec.runs.child_handle import ChildHandle
from pyexec.runs.disk_guard import Guard
from pyexec.runs.pool import RETRY_S, Pool
from pyexec.runs.slots import POOLS, Slot, Slots
from pyexec.runs.workdirs_on_disk import Base
from pyexec.runs.zygote_row import kinds
from pyexec.runs.zygote_table import Rows

_READY_S = 20.0
# Ending a process and forking the next takes milliseconds of CPU each, on a small machine the CPU on which the client
# would read its response. So both are put off until after the response, unless no child waits.
_GRACE_S = 0.003
_DYING_S, _BEAT_S, _SWEEP_S, _LONGEST_S = 0.05, 1.0, 1.0, 3600.0


class Keeper:
    """Owns every process and directory below the server."""

    def __init__(self, config: Config) -> None:
        """Begin to start everything; `await_start` waits for it. Raises SandboxError: the server lacks something."""
        requirements.check_own_means(config)
        self._config = config
        self.changed = threading.Condition()
        self.slots = Slots(POOLS * config.max_runs)
        self.directories: Base | None = None
        self.guard: Guard | None = None  # for the disk that they are on
        self.rows = Rows(config, self._allowed)
        self._pools: dict[tuple[str, bool], Pool] = {}
        has_admins = config.admin_key is not None or config.keys_file is not None
        every = kinds(config)
        for index, kind in enumerate(every):
            # One public child a slot waits, shared out between the kinds: more runs at once are bound by the processors
            # anyway. An admin's waits only where there can be one.
            share = max(1, (config.max_runs + len(every) - 1 - index) // len(every))
            for admin, target in ((False, share), (True, 1 if has_admins else 0)):
                self._pools[kind.name, admin] = Pool(admin, target, self.changed, self.slots, self._make, self.release)
        self._released: collections.deque[tuple[float, ChildHandle]] = collections.deque()
        self._failure: BaseException | None = None
        self._started = False
        self._closing = False
        self._next_look = self._zygotes_due = 0.0
        self._wake_in, self._wake_out = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="pyexec-keeper", daemon=True)
        self._thread.start()

    # Called by other threads.

    def await_start(self) -> None:
        """Return when the first child of each pool that the server doesn't start without is ready.

        Raises:
            SandboxError, LayerError: something could not start.
        """
        with self.changed:
            self.changed.wait_for(lambda: self._started or self._failure is not None)
        if self._failure is not None:
            raise self._failure
        deadline = time.monotonic() + _READY_S
        for (kind, _), pool in self._pools.items():
            if pool.target and kind != ADDED:
                with pool.first_ready(deadline) as child:
                    if not usage_watch.can_see(child):
                        reason = "/proc hides processes: mount it without hidepid."
                        raise SandboxError("pyexec does not start on this host. " + reason)

    def await_libraries(self, timeout_s: float) -> bool:
        """Return whether all that the operator added is loaded, as far as it can be, within this time."""
        with self.changed:
            return self.changed.wait_for(lambda: self.rows.all_loaded() or self._closing, timeout_s)

    @property
    def report(self) -> HostReport:
        """What the zygotes, the current or the last ones, reported about the host; set once `await_start` returns."""
        assert self.rows.report is not None, "asked before anything has started"
        return self.rows.report

    def waiting(self) -> int:
        """Return the number of public children that wait for a job."""
        return sum(len(pool) for (_, admin), pool in self._pools.items() if not admin)

    def pool(self, kind: str, admin: bool) -> Pool:
        """Return the pool for a kind of zygote and a kind of run."""
        return self._pools[kind, admin]

    def release(self, child: ChildHandle, behind_answer: bool = False) -> None:
        """Have a run killed, its slot freed once it is gone, its directory removed, and the next child ordered.

        What may take long, waiting for the last of many processes and removing a directory on disk, is done here, in
        the caller's thread: runs that leave much behind must not keep the keeper from its other work.
        """
        if child.directory is not None:
            child.kill()
            if child.zygote is None or child.await_gone(_READY_S):
                self._remove_directory(child)
        due = time.monotonic() + (_GRACE_S if behind_answer else 0.0)
        with self.changed:
            self._released.append((due, child))
        self.look_by(due)

    def _remove_directory(self, child: ChildHandle) -> None:
        directory, child.directory = child.directory, None
        if directory is not None and self.directories is not None:
            directory.close()
            child.directory_fd = -1
            self.directories.remove(directory)
            if self.guard is not None:
                self.guard.removed(child)

    def clear(self, child: ChildHandle) -> None:
        """Kill a run whose output has been read, and remove its directory, before it is released."""
        child.kill()
        if child.await_gone(_READY_S):
            self._remove_directory(child)

    def disk_is_short(self) -> bool:
        """Return whether the disk that runs share is too full to start another run. Raises OSError."""
        return self.guard is not None and self.guard.short()

    def renew(self) -> None:
        """Have all zygotes replaced by new ones, while they go on serving."""
        self.rows.renew_at = 0.0
        self.look_by(0.0)

    def look_by(self, due: float) -> None:
        """Make the keeper look by this time (monotonic), if it wouldn't anyway."""
        if due < self._next_look:
            self._next_look = due
            with contextlib.suppress(BlockingIOError):  # it has been woken already
                os.write(self._wake_out, b"x")

    def close(self) -> None:
        """End every process, remove what they left, and wait for the thread."""
        self._closing = True
        self.look_by(0.0)
        self._thread.join()

    # Called by its own thread.

    def _run(self) -> None:
        try:
            while not self._closing and self._failure is None:
                self._next_look = time.monotonic() + _LONGEST_S
                try:
                    due = self._look(time.monotonic())
                except Exception as error:  # noqa: BLE001 - the thread must go on
                    if not self._started:
                        self._failure = error
                        break
                    log.say(f"the keeper could not do everything: {error!r}", log.ERROR)
                    due = time.monotonic() + RETRY_S
                self._wait(due)
        finally:
            with self.changed:
                for pool in self._pools.values():
                    pool.closed = True
                self.changed.notify_all()
            self._end_all()

    def _wait(self, due: float) -> None:
        poll = select.poll()
        poll.register(self._wake_in, select.POLLIN)
        for end in self.rows.ends():
            poll.register(end, select.POLLIN)
        self._next_look = min(self._next_look, due)
        if self._closing:
            return
        while True:
            ready = [fd for fd, _ in poll.poll(1000 * max(0.0, self._next_look - time.monotonic()))]
            if self._wake_in in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake_in, 4096)
            if ready not in ([], [self._wake_in]):
                self._zygotes_due = 0.0
                return
            # Woken for something that is due later, behind a response that is just going out: only wait less.
            if time.monotonic() >= self._next_look:
                return

    def _look(self, now: float) -> float:
        """Look at everything and repair what needs it; return when to look again (monotonic)."""
        # Changes that nothing announces, such as a child taken for a long run, are noticed within a second.
        due = min(now + _BEAT_S, self._kill_released(now))
        is_rows_turn = now >= self._zygotes_due or (now >= self.rows.renew_at and self.rows.is_renewal_due(now))
        if is_rows_turn:
            self._zygotes_due = min(now + _BEAT_S, self.rows.repair(now))
        due = min(due, self._zygotes_due)
        for row in self.rows.rows:
            for admin in (False, True):
                if not self._pools[row.kind.name, admin].repair(row.zygote, row.retired) and row.zygote is not None:
                    due = min(due, now + RETRY_S)
        if is_rows_turn and self.rows.serving():
            with self.changed:
                self._started = True
                self.changed.notify_all()
        if self.slots.reclaim():
            due = min(due, now + _DYING_S)
        if self.directories is not None and self.directories.left:
            self.directories.sweep()
            due = min(due, now + _SWEEP_S)
        return due

    def _allowed(self, report: HostReport) -> None:
        """Prepare for the host that this report describes. Raises OSError."""
        if not report.own_tree and self.directories is None:
            self.directories = Base(self._config.work_dir)
            self.guard = Guard(self.directories.fd)

    def _make(self, slot: Slot, admin: bool) -> ChildHandle:
        """Create the server's half of a child, and its directory if that is on disk.

        Raises:
            LayerError: the directory can't be made. OSError: the server has no descriptor or memory left.
        """
        if self.directories is None:
            return ChildHandle(slot, admin)
        try:
            directory = self.directories.make(self.owner(slot))
        except OSError as error:
            if error.errno in workdir.OURS:
                raise
            raise LayerError("workdir", str(error)) from error
        try:
            return ChildHandle(slot, admin, directory)
        except BaseException:
            directory.close()
            self.directories.remove(directory)
            raise

    def owner(self, slot: Slot) -> tuple[int, int] | None:
        """Return the uid and gid of a slot's runs; None where runs have the server's own."""
        uid = self._config.uid_base + slot.index
        return (uid, uid) if self.report.own_uids else None

    def _kill_released(self, now: float) -> float:
        """Kill the runs that are due, or whose slots others wait for; return when the next one is due."""
        while True:
            with self.changed:
                if not self._released:
                    return now + _LONGEST_S
                due, child = self._released[0]
                if due > now and self._others_wait(child):
                    return due
                self._released.popleft()
            child.kill()
            child.close_all_but_status()
            self.slots.free_when(child.slot, lambda child=child: self._is_gone(child))  # type: ignore[misc]

    def _others_wait(self, child: ChildHandle) -> bool:
        """Return whether the next caller of this kind will find a child waiting, if any should wait."""
        if child.zygote is None or self._closing:
            return False
        pool = self._pools[child.zygote.kind, child.admin]
        return len(pool) > 0 or not pool.target

    def _is_gone(self, child: ChildHandle) -> bool:
        """Return whether nothing of a run is left; if so, remove its directory and close its last descriptor."""
        if not child.gone():
            return False
        self._remove_directory(child)
        child.status.close()
        if child.zygote is not None:
            child.zygote.note_child(-1)
        return True

    def _end_all(self) -> None:
        for pool in self._pools.values():
            pool.repair(None)
        self.rows.end()
        self._kill_released(float("inf"))
        # If the process above the nursery was killed, others may outlive it for a moment.
        deadline = time.monotonic() + _READY_S
        while self.slots.reclaim() and time.monotonic() < deadline:
            time.sleep(_DYING_S)
        if self.directories is not None:
            self.directories.close()
        with self.changed:
            self.changed.notify_all()
