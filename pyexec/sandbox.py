"""The sandbox: start what runs need, run a job, close. The one thing that an embedder of this package holds.

Works in the server. A job gets a child from the pool, and another if that one ends before it has read the job; the
course of the run itself is `runs/run`.
"""

from __future__ import annotations

import contextlib
import time
from typing import Any, Callable, Dict, Iterator, Optional, Tuple

from pyexec import rules
from pyexec.config import Config
from pyexec.errors import LayerError, SandboxError, ServerBusy, ValidationError
from pyexec.job import LIBRARIES, Job, LayerStatus, Outcome
from pyexec.presence import Presence
from pyexec.runs.handles import Child
from pyexec.runs.pool import Pool
from pyexec.runs.run import Run, Unbegun
from pyexec.timing import Stopwatch

_TAKE_S = 20.0
_TRIES = 3
_BLOCK = 4096  # in which tmpfs and most disks count


def _count_nothing(size: int) -> None:
    """Leave it to the caller how much is collected."""


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
    def execution(
        self, job: Job, count: Callable[[int], None] = _count_nothing, presence: Optional[Presence] = None
    ) -> Iterator[Outcome]:
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
                outcome = Run(child, job, self._config, self._pool.report, self._pool.guard).carry_out(stopwatch, count)
                if self._disk_is_short():  # else what it left would stay until its caller has taken the answer
                    self._pool.clear(child)
                return child, outcome
            except BaseException as error:
                self._pool.give_back(child)
                tries += 1
                if not isinstance(error, Unbegun) or tries == _TRIES:
                    raise

    def _disk_is_short(self) -> bool:
        return self._pool.guard is not None and self._pool.guard.short()


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
