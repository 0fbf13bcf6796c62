"""Run one job: a waiting child, its files, its deadline, its end, what it left, the verdict.

Works in the server. All that is said of a run is judged from outside; the one thing believed from inside is "ended
with code N", and a script that forges it only cuts its own answer short.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import select
import time
from typing import Any, Callable, Dict, Iterator, Optional, Tuple

from pyexec import messages, rules
from pyexec.config import Config
from pyexec.errors import LayerError, SandboxError, ServerBusy, ValidationError
from pyexec.job import ENDED, FORBIDDEN, LIBRARIES, RESOURCE, SCRIPT_NAME, TIMEOUT, Job, LayerStatus, Outcome
from pyexec.runs import results, workdir
from pyexec.runs import watch as usage
from pyexec.runs.handles import Child
from pyexec.runs.pool import Pool
from pyexec.runs.results import End
from pyexec.timing import Stopwatch

_TAKE_S = 20.0
_LOST_S = 1.0
_TRIES = 3
_WATCH_S = 0.05
_INSIDE = ("start", "compile", "run", "end", "report")  # stages between hand-over and the end
_SIGKILL = -9
_KILLED = "killed"  # not by us: whether that is the run's own doing is for the watch to say
_BLOCK = 4096  # in which tmpfs and most disks count
_F_ADD_SEALS, _SEAL_SHRINK_GROW_WRITE = 1033, 2 | 4 | 8  # linux/fcntl.h


def _count_nothing(size: int) -> None:
    """Leave it to the caller how much is collected."""


class _Unbegun(SandboxError):
    """A child ended before it read its job, so that another may have it."""


class Sandbox:
    """Runs jobs in confined children. Thread-safe; close it, or use it as a context manager."""

    def __init__(self, config: Optional[Config] = None, wait: bool = True) -> None:
        """Start the templates and the waiting children, and wait for them unless `await_start` is to be called.

        Raises:
            SandboxError: this host can't confine scripts, or something could not start; says what to do.
        """
        self._config = config or Config.of()
        self._pool = Pool(self._config)
        if wait:
            self.await_start()

    def await_start(self) -> None:
        """Return when everything is ready; else close. Raises SandboxError, as the constructor does."""
        try:
            self._pool.await_start()
        except BaseException as error:
            self.close()
            if isinstance(error, (LayerError, OSError)):
                raise SandboxError("A first run could not be confined: %s." % error) from error
            raise

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every process and remove every directory that the sandbox made."""
        self._pool.close()

    @property
    def layers(self) -> Tuple[LayerStatus, ...]:
        """The layers, on or not."""
        return tuple(LayerStatus(**row) for row in self._pool.report["layers"])

    @property
    def report(self) -> Dict[str, Any]:
        """What the templates said of this host: layers, dangers, namespaces, own uids, libraries, Python's version."""
        return self._pool.report

    def state(self) -> Dict[str, Any]:
        """Return whether a run could start now, how many children wait, and how often the templates were restarted."""
        return {
            "ready": self._pool.ready() and not self._disk_is_short(),
            "waiting": self._pool.waiting(),
            "restarts": self._pool.restarts,
        }

    def run(self, job: Job) -> Outcome:
        """Run a job and return what came of it, after everything of it was killed.

        Raises:
            ValidationError: the job is larger than the settings allow. (That of `code`'s length is for HTTP alone.)
            ServerBusy: the disk that runs share is nearly full.
            SandboxError, LayerError: the run could not be started or was lost; no fault of the script.
        """
        child, outcome = self._perform(job)
        self._pool.give_back(child)
        return outcome

    @contextlib.contextmanager
    def execution(self, job: Job, count: Callable[[int], None] = _count_nothing) -> Iterator[Outcome]:
        """Run a job; leaving the context cleans up behind it, so that an answer can go out first.

        Args:
            count: called with the size of what has been collected, as it is; may wait, or raise to have no more.

        Raises:
            SandboxError, LayerError: as for `run`. Whatever `count` raises.
        """
        child, outcome = self._perform(job, count)
        try:
            yield outcome
        finally:
            self._pool.give_back_later(child)

    def _perform(self, job: Job, count: Callable[[int], None] = _count_nothing) -> Tuple[Child, Outcome]:
        """Run a job; return the child, which is to be given back, and what came of it."""
        _check(job, self._config)
        if self._disk_is_short():
            raise ServerBusy("The server's disk is nearly full.", limit_name="disk")
        stopwatch = Stopwatch(time.monotonic())
        libraries, deadline = _names_library(job.code), time.monotonic() + _TAKE_S
        tries = 0
        while True:
            child = self._pool.take(job.admin, libraries, deadline)
            stopwatch.mark("take")
            try:
                outcome = self._run(child, job, stopwatch, count)
                if self._disk_is_short():  # else what it left would stay until its caller has taken the answer
                    self._pool.clear(child)
                return child, outcome
            except BaseException as error:
                self._pool.give_back(child)
                tries += 1
                if not isinstance(error, _Unbegun) or tries == _TRIES:
                    raise

    def _run(self, child: Child, job: Job, stopwatch: Stopwatch, count: Callable[[int], None]) -> Outcome:
        try:
            self._hand_over(child, job)
            stopwatch.mark("hand_over")
            started = time.monotonic()
            child.end.setblocking(False)
            messages.send(child.end, messages.JOB, {})
        except (BrokenPipeError, ConnectionResetError) as error:
            raise _Unbegun("a child ended before it had its job: %s" % error) from error
        except OSError as error:
            raise SandboxError("a child was lost before its job began: %s" % error) from error
        watch = usage.Watch(child, self._config.budget, job.admin, not self._has("mount"), self._pool.guard)
        try:
            end = self._await_end(child, job, started + self._config.budget.wall_s, watch)
        finally:
            watch.over()
        duration_s = time.monotonic() - started
        stopwatch.mark_reported(_INSIDE, end.moments)
        self._let_nothing_run(child, job, end)
        if self._has("mount"):
            end = results.met_a_wall(child, end, self._config.budget)
        installed = self._pool.report["installed_code"]
        outcome = results.outcome(child, job, end, duration_s, self._config.budget, installed, count)
        stopwatch.mark("collect")
        return dataclasses.replace(outcome, stages=tuple(stopwatch.stages))

    def _let_nothing_run(self, child: Child, job: Job, end: End) -> None:
        """Return when nothing of the run executes any more, so that what it left can be read.

        Raises:
            SandboxError: it was killed and has not ended, or nobody can tell.
        """
        if not job.admin and end.verdict in (ENDED, FORBIDDEN):
            # It waits for its end, or says so and is hostile. Tearing it down would take a core just when the answer
            # is made; stopping its one process costs nothing. It is killed as soon as the answer is out; see
            # `Pool.give_back`.
            child.stop()
            return
        child.kill()
        # A kill that was sent has yet to come to each process of the run: one that it forked would go on for a while,
        # and change one file after another was read.
        if job.admin and not self._has("pid"):
            # They are one group, which the template kills before it reaps the first of them.
            dead = child.await_death(_TAKE_S) and not child.orphaned
        else:
            dead = child.await_exit(_TAKE_S)
        if not dead:
            raise SandboxError("a run that was killed has not ended, or nobody can tell")

    def _has(self, namespace: str) -> bool:
        return namespace in self._pool.report["namespaces"]

    def _disk_is_short(self) -> bool:
        return self._pool.guard is not None and self._pool.guard.short()

    def _hand_over(self, child: Child, job: Job) -> None:
        """Put the script, its attachments and its input where the child will find them."""
        owner = None
        if self._pool.report["own_uids"]:
            uid = self._config.uid_base + child.place
            owner = (uid, uid)
        workdir.put(child.directory_fd, SCRIPT_NAME, job.code.encode("utf-8"), owner)
        for attachment in job.attachments:
            workdir.put(child.directory_fd, attachment.filename, attachment.content, owner)
        if job.stdin:
            view = memoryview(job.stdin)
            place = 0
            while place < len(view):  # pwrite leaves the offset, which the child shares, at the start
                place += os.pwrite(child.streams[0], view[place:], place)
        # Nothing may grow in it: memory of such a file belongs to no process that the kernel could end for it.
        fcntl.fcntl(child.streams[0], _F_ADD_SEALS, _SEAL_SHRINK_GROW_WRITE)

    def _await_end(self, child: Child, job: Job, deadline: float, watch: usage.Watch) -> End:
        """Wait for the run's own word, its death, its deadline, or the watch, whichever comes first."""
        poll = select.poll()
        poll.register(child.end, select.POLLIN)
        poll.register(child.status, select.POLLIN)
        while True:
            left = max(0.0, deadline - time.monotonic())
            ready = [fd for fd, _ in poll.poll(1000 * min(left, _WATCH_S))]
            end = None
            if child.end.fileno() in ready:
                end = self._own_word(child, job)
                if end is None:
                    poll.unregister(child.end)  # closed, or nonsense: only its death counts from here on
            elif child.status.fileno() in ready:
                end = self._death(child, job)
            if end is not None and end.details.get("resource") == "cpu" and time.monotonic() < deadline:
                # RLIMIT_CPU is more than a run can use in its time: it was killed for another reason.
                end = End(ENDED if job.admin else _KILLED, _SIGKILL)
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

    def _own_word(self, child: Child, job: Job) -> Optional[End]:
        """Return the end that the run reports, None if it is none; written by hostile code perhaps."""
        try:
            message = messages.receive(child.end)
        except ConnectionResetError as error:
            # Its job lies there unread, so it was killed or failed before: no script had anything to do with it.
            raise _Unbegun("a child ended before it read its job") from error
        except (messages.WireError, OSError):
            return None
        for fd in message.descriptors:
            os.close(fd)
        payload = message.payload if isinstance(message.payload, dict) else {}
        if message.kind == messages.EXIT:
            code, limit = payload.get("code"), payload.get("cpu_limit_s")
            if job.admin and type(limit) is int:
                return End(RESOURCE, _SIGKILL, resource="cpu", limit=limit)
            if type(code) is int and -64 <= code <= 255:
                return End(ENDED, code, payload.get("moments"))
            return None
        if message.kind == messages.FAILED and job.admin:
            # From the keeper, which no script can speak for. A public run's word for it would be worth a free request.
            raise SandboxError("an admin run could not begin: %s" % payload.get("reason"))
        if message.kind == messages.FORBIDDEN and not job.admin:
            names = payload.get("modules")
            if isinstance(names, list) and 0 < len(names) <= 100 and all(isinstance(name, str) for name in names):
                clean = tuple(name.encode("utf-8", "replace").decode("utf-8")[:200] for name in names)
                return End(FORBIDDEN, _SIGKILL, modules=clean)
        return None

    def _death(self, child: Child, job: Job) -> End:
        try:
            death = child.receive_death()
        except (messages.WireError, OSError) as error:
            # The template has ended, and the child with it, or in a moment. It may have had a last word, or no job yet.
            child.kill()
            poll = select.poll()
            poll.register(child.end, select.POLLIN)
            end = self._own_word(child, job) if poll.poll(_LOST_S * 1000) else None
            if end is None:
                raise SandboxError("the template was lost during a run: %s" % error) from error
            return end
        if death.code != _SIGKILL:
            return End(ENDED, death.code)
        if death.cpu_limit_s is not None:
            return End(RESOURCE, _SIGKILL, resource="cpu", limit=death.cpu_limit_s)
        return End(_KILLED, _SIGKILL)


def _check(job: Job, config: Config) -> None:
    """Check a job against the settings, as whoever embeds us may not have. Raises ValidationError."""
    if not isinstance(job, Job):
        raise ValidationError("'job' must be a Job, not %s." % type(job).__name__, "job")
    rules.at_most(len(job.stdin or b""), config.stdin_bytes, "bytes", "stdin")
    rules.at_most(len(job.attachments), config.attachments, "entries", "attachments")
    for place, attachment in enumerate(job.attachments):
        rules.at_most(len(attachment.content), config.attachment_bytes, "bytes", "attachments[%d].content" % place)
    rules.at_most(len(job.return_files), config.return_files, "entries", "return_files")
    # What can't be put into the directory is the caller's fault, and known before a child is taken.
    contents = [len(attachment.content) for attachment in job.attachments]
    blocks = sum(-(-size // _BLOCK) for size in [len(job.code.encode("utf-8")), *contents])
    rules.at_most(blocks * _BLOCK, config.budget.workdir_bytes, "bytes on disk, with the code", "attachments")
    rules.at_most(len(contents) + 1, config.budget.workdir_files, "entries, with the code", "attachments")


def _names_library(code: str) -> bool:
    # The text is searched, never parsed: it is hostile. A script that hides the name, or has it in an attached module,
    # loads the library by itself, and waits for it.
    return any(name in code for name in LIBRARIES)
