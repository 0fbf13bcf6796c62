"""The sandbox: start it, run jobs in it, close it. The interface to `runs`, which does the work."""

from __future__ import annotations

import contextlib
from typing import Any, Callable, Iterator

from pyexec import rules
from pyexec.config import Config
from pyexec.errors import LayerError, SandboxError, ValidationError
from pyexec.job import HostReport, Job, LayerStatus, Outcome
from pyexec.runs.keeper import Keeper
from pyexec.runs.run import Run, count_nothing

_BLOCK = 4096  # bytes; the unit in which tmpfs and most disks allocate space


class Sandbox:
    """Runs jobs in confined children. Thread-safe; close it, or use it as a context manager."""

    def __init__(self, config: Config | None = None, wait: bool = True) -> None:
        """Start the zygotes and the waiting children; wait for them, or leave that to `await_start`.

        Raises:
            SandboxError: this host can't confine scripts, or something failed to start; says what to do.
        """
        self._config = config or Config.of()
        self._keeper = Keeper(self._config)
        self._run = Run(self._config, self._keeper)
        if wait:
            self.await_start()

    def await_start(self) -> None:
        """Return once everything is ready, or close and raise SandboxError, as the constructor does."""
        try:
            self._keeper.await_start()
        except BaseException as error:
            self.close()
            if isinstance(error, (LayerError, OSError)):
                raise SandboxError(f"A first run could not be confined: {error}.") from error
            raise

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every process and remove every directory of the sandbox."""
        self._keeper.close()

    @property
    def layers(self) -> tuple[LayerStatus, ...]:
        """The layers, with whether they are on."""
        return self._keeper.report.layers

    @property
    def report(self) -> HostReport:
        """What the zygotes reported about this host."""
        return self._keeper.report

    def state(self) -> dict[str, Any]:
        """Return "ready" (whether a run could start now), "waiting" (children), "restarts" (of zygotes)."""
        rows = self._keeper.rows
        ready = rows.serving() and not self._keeper.disk_is_short()
        return {"ready": ready, "waiting": self._keeper.waiting(), "restarts": rows.restarts()}

    def run(self, job: Job) -> Outcome:
        """Run a job and return the outcome. Its processes are being killed by then.

        Raises:
            ValidationError: the job is larger than the settings allow. (The limit on `code` applies to HTTP only.)
            ServerBusy: the disk that runs share is nearly full.
            SandboxError, LayerError: the run could not be started or was lost, through no fault of the script.
        """
        _check(job, self._config)
        child, outcome = self._run.perform(job)
        self._keeper.release(child)
        return outcome

    @contextlib.contextmanager
    def execution(self, job: Job, count: Callable[[int], None] = count_nothing) -> Iterator[Outcome]:
        """Run a job; leaving the context cleans up, so that a response can be sent first.

        Args:
            count: called with the number of bytes collected, as they are read; may block, or raise to stop.

        Raises:
            ValidationError, ServerBusy, SandboxError, LayerError: as for `run`. Whatever `count` raises.
        """
        _check(job, self._config)
        child, outcome = self._run.perform(job, count)
        try:
            yield outcome
        finally:
            self._keeper.release(child, behind_answer=True)


def _check(job: Job, config: Config) -> None:
    """Check a job against the settings, for programs that embed the sandbox. Raises ValidationError."""
    if not isinstance(job, Job):
        raise ValidationError(f"'job' must be a Job, not {type(job).__name__}.", "job")
    rules.at_most(len(job.stdin or b""), config.stdin_bytes, "bytes", "stdin")
    rules.at_most(len(job.attachments), config.attachments, "entries", "attachments")
    for index, attachment in enumerate(job.attachments):
        rules.at_most(len(attachment.content), config.attachment_bytes, "bytes", f"attachments[{index}].content")
    rules.at_most(len(job.return_files), config.return_files, "entries", "return_files")
    # Files that can't fit into the directory are the caller's fault; refused before a child is taken.
    contents = [len(attachment.content) for attachment in job.attachments]
    blocks = sum(-(-size // _BLOCK) for size in [len(job.code.encode("utf-8")), *contents])
    rules.at_most(blocks * _BLOCK, config.budget.workdir_bytes, "bytes on disk, with the code", "attachments")
    rules.at_most(len(contents) + 1, config.budget.workdir_files, "entries, with the code", "attachments")
