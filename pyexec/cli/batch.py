"""`pyexec batch JOBS --out RESULTS`: run many scripts, on this machine or by a service; goes on where it stopped.

Each line of JOBS is the body of a `POST /execute` and an `id`; each of RESULTS is the answer and the id. `batch_course`
has what happens between the two.
"""

from __future__ import annotations

import argparse
import contextlib
import os
from typing import Any

from pyexec import log, units
from pyexec.config import Config

HELP = "run many scripts, one a line of a file"
OPTIONS = ("admin", "out", "url")
_LOCAL_CODE_CHARS = 100_000
_USAGE_STATUS = 2


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Give the command line what only `batch` takes."""
    add = parser.add_argument_group("batch FILE").add_argument
    add("--url", metavar="URL", help="have a service run the scripts; without it this machine does, on all processors")


def defaults(given: argparse.Namespace) -> dict[str, Any]:
    """Return the settings that have another default than a server's.

    On this machine these are all processors, and longer scripts than a caller over HTTP may send.
    """
    if given.url is not None:
        return {}
    return {"max_runs": len(os.sched_getaffinity(0)), "code_chars": _LOCAL_CODE_CHARS}


def main(config: Config, given: argparse.Namespace) -> int:
    """Run the jobs in a file that have no result yet; return 0 when every one has a result and none was lost."""
    # Only now: a server that starts has no use for any of it.
    from pyexec.cli.batch_course import Batch
    from pyexec.cli.batch_files import Jobs, Results
    from pyexec.cli.batch_runners import Runner, Service, local

    if given.out is None:
        log.say("batch needs --out RESULTS, the file to write results to")
        return _USAGE_STATUS
    jobs = Jobs(given.file)
    with contextlib.closing(Results(given.out)) as results, contextlib.ExitStack() as stack:
        if results.done:
            log.say(f"there already, and not done again: {units.count(len(results.done), 'result')}")
        if not jobs.ids - results.done:
            return 0
        if given.url is None:
            runner: Runner = stack.enter_context(local(config, given.admin))
        else:
            runner = Service(given.url, config, given.admin)
        return Batch(jobs, results, runner).run()
