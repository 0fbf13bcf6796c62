"""What a run left, read from outside once it can change no more, and the verdict on a run that met a wall inside."""

from __future__ import annotations

import os
from typing import Any, Callable, Sequence

from pyexec.job import ENDED, FORBIDDEN, RESOURCE, Budget, Job, Outcome, OutputFile
from pyexec.runs import workdir
from pyexec.runs.child_handle import ChildHandle


class RunEnd:
    """How a run ended, before its output is read."""

    def __init__(self, verdict: str, exit_code: int, timestamps: object = None, **details: Any) -> None:
        self.verdict, self.exit_code, self.timestamps, self.details = verdict, exit_code, timestamps, details


def met_a_wall(child: ChildHandle, end: RunEnd, budget: Budget) -> RunEnd:
    """Return the end of a run in a file system of its own: that of a limit, if it failed and nothing is left there."""
    if end.verdict != ENDED or not end.exit_code:
        return end
    resource = workdir.full(child.directory_fd)
    if not resource:
        return end
    limit = budget.workdir_bytes if resource == "disk" else budget.workdir_files
    return RunEnd(RESOURCE, end.exit_code, end.timestamps, resource=resource, limit=limit)


def outcome(
    child: ChildHandle,
    job: Job,
    end: RunEnd,
    duration_s: float,
    budget: Budget,
    installed: Sequence[str],
    count: Callable[[int], None],
) -> Outcome:
    """Read a run's output and the files asked for.

    Args:
        installed: directories of libraries; where they lie is not to be seen in stderr.
        count: called with the size of what has been collected, as it is; may wait, or raise to have no more.

    Raises:
        OSError: the server has no descriptor or memory left.
    """
    cap = budget.output_bytes
    stdout, stderr = (workdir.read_capped(fd, cap + 1) for fd in child.streams[1:])
    count(len(stdout) + len(stderr))
    files: list[OutputFile] = []
    if end.verdict != FORBIDDEN:  # what a run wrote before it was ended is as good as ever
        for file in workdir.collect(child.directory_fd, job.return_files, budget.returned_file_bytes):
            files.append(file)
            count(len(file.content or b""))
    return Outcome(
        verdict=end.verdict,
        exit_code=end.exit_code,
        duration_s=duration_s,
        stdout=stdout[:cap],
        stderr=_without_paths(stderr[:cap], installed),
        stdout_truncated=len(stdout) > cap,
        stderr_truncated=len(stderr) > cap,
        files=tuple(files),
        **end.details,
    )


def _without_paths(stderr: bytes, installed: Sequence[str]) -> bytes:
    """Return stderr with the files of libraries named from their package on."""
    for directory in installed:
        stderr = stderr.replace(os.fsencode(directory) + b"/", b"")
    return stderr
