"""What a run left behind, read from outside once nothing can change it; and whether it hit a limit of its tmpfs."""

from __future__ import annotations

from typing import Any, Callable, Mapping, Sequence

from pyexec.job import ENDED, FORBIDDEN, RESOURCE, Budget, Job, Outcome, OutputFile, WrittenFile
from pyexec.runs import workdir, written
from pyexec.runs.child_handle import ChildHandle
from pyexec.runs.last_moment import LastMoment
from pyexec.runs.written import Placed, Walk
from pyexec.timing import Stopwatch


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
    placed: Mapping[str, Placed],
    end: RunEnd,
    duration_s: float,
    budget: Budget,
    most_files: int,
    count: Callable[[int], None],
    last_moment: LastMoment,
    stopwatch: Stopwatch,
) -> Outcome:
    """Read a run's output and the files asked for.

    Args:
        placed: what was put into the directory before the script began. most_files: how many files are returned.
        count: called with the size of what has been collected, as it is; may wait, or raise to have no more.
        stopwatch: of the run; what is done here is its last stage.

    Raises:
        OSError: the server has no descriptor or memory left.
    """
    cap = budget.output_bytes
    stdout, stderr = (workdir.read_capped(fd, cap + 1) for fd in child.streams[1:])
    stderr = last_moment.without_stack(stderr, job.code)
    count(len(stdout) + len(stderr))
    files: list[OutputFile] = []
    wrote: Sequence[WrittenFile] = ()
    more = False
    if end.verdict != FORBIDDEN:  # files written before a run was ended are returned too
        walk = Walk(child.directory_fd, placed)
        if job.return_files:
            for file in written.collect(child.directory_fd, job, walk, budget.returned_file_bytes, most_files):
                files.append(file)
                count(len(file.content or b""))
        wrote, more = written.named(walk)
    stopwatch.mark("collect")
    failure, value = child.hearsay.about(end.verdict, end.exit_code, end.details.get("resource", ""))
    return Outcome(
        verdict=end.verdict,
        exit_code=end.exit_code,
        duration_s=duration_s,
        stdout=stdout[:cap],
        stderr=stderr[:cap],
        stdout_truncated=len(stdout) > cap,
        stderr_truncated=len(stderr) > cap,
        files=tuple(files),
        written=tuple(wrote),
        written_truncated=more,
        error=failure,
        value=value,
        picture_troubles=child.hearsay.picture_troubles,
        stages=tuple(stopwatch.stages),
        **end.details,
    )
