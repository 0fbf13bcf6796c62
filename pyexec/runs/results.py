"""What a run left behind, read from outside once nothing can change it; and whether it hit a limit of its tmpfs."""

from __future__ import annotations

from typing import Any, Callable

from pyexec.job import ENDED, FORBIDDEN, RESOURCE, Budget, Job, Outcome, OutputFile
from pyexec.runs import workdir
from pyexec.runs.child_handle import ChildHandle


class RunEnd:
    """How a run ended, before its output is read."""

    def __init__(self, verdict: str, exit_code: int, timestamps: object = None, **details: Any) -> None:
        self.verdict, self.exit_code, self.timestamps, self.details = verdict, exit_code, timestamps, details


def met_a_wall(child: ChildHandle, end: RunEnd, budget: Budget) -> RunEnd:
    """Return how a run with its own file system ended: at a limit, if it failed and its file system is full."""
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
    count: Callable[[int], None],
) -> Outcome:
    """Read a run's output and the files asked for.

    Args:
        count: called with the number of bytes collected, as they are read; may block, or raise to stop.

    Raises:
        OSError: the server has no descriptor or memory left.
    """
    cap = budget.output_bytes
    stdout, stderr = (workdir.read_capped(fd, cap + 1) for fd in child.streams[1:])
    count(len(stdout) + len(stderr))
    files: list[OutputFile] = []
    if end.verdict != FORBIDDEN:  # files written before a run was ended are returned too
        for file in workdir.collect(child.directory_fd, job.return_files, budget.returned_file_bytes):
            files.append(file)
            count(len(file.content or b""))
    return Outcome(
        verdict=end.verdict,
        exit_code=end.exit_code,
        duration_s=duration_s,
        stdout=stdout[:cap],
        stderr=stderr[:cap],
        stdout_truncated=len(stdout) > cap,
        stderr_truncated=len(stderr) > cap,
        files=tuple(files),
        **end.details,
    )
