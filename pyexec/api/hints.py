"""Advice for the mistakes that callers make often: `for_run` and `for_error` return the `hint` of an answer.

A hint says what to do next. It is given only where the cause is certain from what the service itself can see: the
script's text, its exit code, what it was given, and the last exception in stderr. A script can of course print
whatever it likes there, and then misleads itself. Pure, and linear in what it looks at: hostile text must not be slow.
"""

from __future__ import annotations

from typing import Iterable

from pyexec import units
from pyexec.api.hint_rules import OF_SUCCESS, OF_TIMEOUT, RULES
from pyexec.api.hint_scene import HTTP, Names, look
from pyexec.config import Config
from pyexec.errors import PyexecError, RateLimitExceeded, ResourceLimitError, RunTimeoutError, ServerBusy
from pyexec.job import ENDED, LIBRARIES, TIMEOUT, HostReport, Job, Outcome


def for_run(
    job: Job,
    outcome: Outcome,
    config: Config,
    libraries: Iterable[str] = LIBRARIES,
    names: Names = HTTP,
    own_tree: bool = True,
    deletes: bool = True,
) -> str | None:
    """Return the hint for a run that ended by itself or at its time limit, None if no rule applies.

    Args:
        libraries: those that are installed and that scripts may import.
        names: what the caller knows the request's fields by.
        own_tree: whether runs have a file tree of their own on this host.
        deletes: whether public scripts can delete files on this host.
    """
    if outcome.verdict not in (ENDED, TIMEOUT):
        return None
    scene = look(job, outcome, config, tuple(libraries), names, own_tree, deletes)
    of_ended = RULES if outcome.exit_code else OF_SUCCESS
    for rule in OF_TIMEOUT if outcome.verdict == TIMEOUT else of_ended:
        advice = rule.advice(scene)
        if advice:
            return advice
    return None


def may_delete(report: HostReport) -> bool:
    """Return whether public scripts can delete and replace files; `policy` has the rule, and why it is one."""
    return report.own_tree or report.tmpfs_bytes > 0


def for_error(error: PyexecError) -> str | None:
    """Return the hint for an error of the contract, None where its message already says what to do."""
    if isinstance(error, RateLimitExceeded):
        if error.limit_name == "day":
            return f"The count restarts at midnight UTC, in {_duration(error.retry_after_s)}."
        return f"Try again in {_duration(error.retry_after_s)}."
    if isinstance(error, ServerBusy):
        return f"Try again in {_duration(error.retry_after_s)}; this didn't count as a run."
    if isinstance(error, RunTimeoutError):
        return "Do less in one run, or look for a loop that never ends. Files written so far can be returned."
    if isinstance(error, ResourceLimitError):
        return _OF_RESOURCES.get(error.resource)
    return None


_OF_RESOURCES = {
    "memory": "Work on smaller pieces, and delete what is no longer needed.",
    "cpu": "Do less in one run.",
    "disk": "Write less, or delete files that are no longer needed.",
    "files": "Write fewer files, for example one archive instead of many.",
    "output": "Print less, or write to a file and have it returned.",
    "processes": "Start fewer processes at once.",
    "threads": "Start fewer threads at once, for example by max_workers.",
}


def _duration(seconds: int) -> str:
    if seconds < 120:
        return units.seconds(seconds)
    minutes = -(-seconds // 60)
    return units.count(minutes, "minute") if minutes < 120 else f"{minutes // 60} hours {minutes % 60} minutes"
