"""The course of one run: its job handed over, its end awaited, nothing of it left running, what it left read.

In the server. Two witnesses tell of the end: the run's own word on its channel, and the zygote's word on its death. A
script can forge the first and only cuts its own answer short; all else is judged from outside.
"""

from __future__ import annotations

import dataclasses
import fcntl
import os
import select
import time
from typing import Any, Callable

from pyexec import messages
from pyexec.config import Config
from pyexec.errors import SandboxError
from pyexec.job import ENDED, FORBIDDEN, RESOURCE, SCRIPT_NAME, TIMEOUT, Job, Outcome
from pyexec.runs import results, workdir
from pyexec.runs.guard import Guard
from pyexec.runs.handles import Child
from pyexec.runs.results import End
from pyexec.runs.watch import Watch
from pyexec.runs.written import Placed
from pyexec.timing import Stopwatch

DYING_S = 20.0
_LOST_S = 1.0
_WATCH_S = 0.05
_INSIDE = ("start", "compile", "run", "end", "report")  # stages between hand-over and the end
_SIGKILL = -9
_KILLED = "killed"  # not by us: whether that is the run's own doing is for the watch to say
_F_ADD_SEALS, _SEAL_SHRINK_GROW_WRITE = 1033, 2 | 4 | 8  # linux/fcntl.h


class Unbegun(SandboxError):
    """A child ended before it read its job, so that another may have it."""


class Run:
    """One job in one child."""

    def __init__(self, child: Child, job: Job, config: Config, report: dict[str, Any], guard: Guard | None) -> None:
        """Take a child that waits for its job. `report` is the zygotes' of this host, `guard` that of a shared disk."""
        self._child, self._job, self._config = child, job, config
        self._report, self._guard = report, guard
        self._placed: dict[str, Placed] = {}

    def carry_out(self, stopwatch: Stopwatch, count: Callable[[int], None]) -> Outcome:
        """Run the job; return what came of it, once nothing of it executes. The child is still to be given back.

        Args:
            stopwatch: gets the stages. count: called with the size of what has been collected, as it is; may raise.

        Raises:
            Unbegun: another child may have the job. SandboxError: the run was lost, by no fault of the script.
        """
        child, job = self._child, self._job
        try:
            self._hand_over()
            stopwatch.mark("hand_over")
            started = time.monotonic()
            child.end.setblocking(False)
            messages.send(child.end, messages.JOB, {})
        except (BrokenPipeError, ConnectionResetError) as error:
            raise Unbegun("a child ended before it had its job: %s" % error) from error
        except OSError as error:
            raise SandboxError("a child was lost before its job began: %s" % error) from error
        watch = Watch(child, self._config.budget, job.admin, not self._has("mount"), self._guard)
        try:
            end = self._await_end(started + self._config.budget.wall_s, watch)
        finally:
            watch.over()
        duration_s = time.monotonic() - started
        stopwatch.mark_reported(_INSIDE, end.moments)
        self._let_nothing_run(end)
        if self._has("mount"):
            end = results.met_a_wall(child, end, self._config.budget)
        installed = self._report["installed_code"]
        outcome = results.outcome(
            child,
            job,
            self._placed,
            end,
            duration_s,
            self._config.budget,
            self._config.return_files,
            installed,
            count,
        )
        stopwatch.mark("collect")
        return dataclasses.replace(outcome, stages=tuple(stopwatch.stages))

    def _let_nothing_run(self, end: End) -> None:
        """Return when nothing of the run executes any more, so that what it left can be read.

        Raises:
            SandboxError: it was killed and has not ended, or nobody can tell.
        """
        if not self._job.admin and end.verdict in (ENDED, FORBIDDEN):
            # It waits for its end, or says so and is hostile. Tearing it down would take a core just when the answer
            # is made; stopping its one process costs nothing. It is killed as soon as the answer is out; see
            # `Pool.give_back`.
            self._child.stop()
            return
        self._child.kill()
        # A kill that was sent has yet to come to each process of the run: one that it forked would go on for a while,
        # and change one file after another was read.
        if self._job.admin and not self._has("pid"):
            # They are one group, which the template kills before it reaps the first of them.
            dead = self._child.await_death(DYING_S) and not self._child.orphaned
        else:
            dead = self._child.await_exit(DYING_S)
        if not dead:
            raise SandboxError("a run that was killed has not ended, or nobody can tell")

    def _hand_over(self) -> None:
        """Put the script, its attachments and its input where the child will find them."""
        owner = None
        if self._report["own_uids"]:
            uid = self._config.uid_base + self._child.place
            owner = (uid, uid)
        workdir.put(self._child.directory_fd, SCRIPT_NAME, self._job.code.encode("utf-8"), owner)
        for attachment in self._job.attachments:
            status = workdir.put(self._child.directory_fd, attachment.filename, attachment.content, owner)
            self._placed[attachment.filename] = Placed(status, attachment.content)
        if self._job.stdin:
            view = memoryview(self._job.stdin)
            place = 0
            while place < len(view):  # pwrite leaves the offset, which the child shares, at the start
                place += os.pwrite(self._child.streams[0], view[place:], place)
        # Nothing may grow in it: memory of such a file belongs to no process that the kernel could end for it.
        fcntl.fcntl(self._child.streams[0], _F_ADD_SEALS, _SEAL_SHRINK_GROW_WRITE)

    def _await_end(self, deadline: float, watch: Watch) -> End:
        """Wait for the run's own word, its death, its deadline, or the watch, whichever comes first."""
        poll = select.poll()
        poll.register(self._child.end, select.POLLIN)
        poll.register(self._child.status, select.POLLIN)
        while True:
            left = max(0.0, deadline - time.monotonic())
            ready = [fd for fd, _ in poll.poll(1000 * min(left, _WATCH_S))]
            end = None
            if self._child.end.fileno() in ready:
                end = self._own_word()
                if end is None:
                    poll.unregister(self._child.end)  # closed, or nonsense: only its death counts from here on
            elif self._child.status.fileno() in ready:
                end = self._death()
            if end is not None and end.details.get("resource") == "cpu" and time.monotonic() < deadline:
                # RLIMIT_CPU is more than a run can use in its time: it was killed for another reason.
                end = End(ENDED if self._job.admin else _KILLED, _SIGKILL)
            # Looked at once more at the end: a run shorter than the interval is no way around a limit.
            exceeded = watch.exceeded(ended=end is not None)
            if exceeded is not None:
                return End(RESOURCE, _SIGKILL, resource=exceeded[0], limit=exceeded[1])
            if end is not None and end.verdict == _KILLED:
                # Each limit of its own ends a run otherwise, or is seen by the watch. The kernel's memory killer takes
                # whom it likes, for want of memory that others may have.
                raise SandboxError("a run was killed for nothing of its own; this machine may be short of memory")
            if end is not None:
                return end
            # Only now: what ended in time is no timeout because the server itself was stopped, or came to it late.
            if not left:
                return End(TIMEOUT, _SIGKILL)

    def _own_word(self) -> End | None:
        """Return the end that the run reports, None if it is none; written by hostile code perhaps."""
        try:
            message = messages.receive(self._child.end)
        except ConnectionResetError as error:
            # Its job lies there unread, so it was killed or failed before: no script had anything to do with it.
            raise Unbegun("a child ended before it read its job") from error
        except (messages.WireError, OSError):
            return None
        for fd in message.descriptors:
            os.close(fd)
        payload = message.payload if isinstance(message.payload, dict) else {}
        if message.kind == messages.EXIT:
            code, limit = payload.get("code"), payload.get("cpu_limit_s")
            if self._job.admin and type(limit) is int:
                return End(RESOURCE, _SIGKILL, resource="cpu", limit=limit)
            if type(code) is int and -64 <= code <= 255:
                return End(ENDED, code, payload.get("moments"))
            return None
        if message.kind == messages.FAILED and self._job.admin:
            # From the keeper, which no script can speak for. A public run's word for it would be worth a free request.
            raise SandboxError("an admin run could not begin: %s" % payload.get("reason"))
        if message.kind == messages.FORBIDDEN and not self._job.admin:
            names = payload.get("modules")
            if isinstance(names, list) and 0 < len(names) <= 100 and all(isinstance(name, str) for name in names):
                clean = tuple(name.encode("utf-8", "replace").decode("utf-8")[:200] for name in names)
                return End(FORBIDDEN, _SIGKILL, modules=clean)
        return None

    def _death(self) -> End:
        try:
            death = self._child.receive_death()
        except (messages.WireError, OSError) as error:
            # The template has ended, and the child with it, or in a moment. It may have had a last word, or no job yet.
            self._child.kill()
            poll = select.poll()
            poll.register(self._child.end, select.POLLIN)
            end = self._own_word() if poll.poll(_LOST_S * 1000) else None
            if end is None:
                raise SandboxError("the template was lost during a run: %s" % error) from error
            return end
        if death.code != _SIGKILL:
            return End(ENDED, death.code)
        if death.cpu_limit_s is not None:
            return End(RESOURCE, _SIGKILL, resource="cpu", limit=death.cpu_limit_s)
        return End(_KILLED, _SIGKILL)

    def _has(self, namespace: str) -> bool:
        return namespace in self._report["namespaces"]
