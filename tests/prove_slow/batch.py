"""Proof: of ten thousand scripts in a batch each has one line with the right answer, whatever is killed meanwhile."""

from __future__ import annotations

import argparse
import os
import tempfile
import time

from tests.prove_slow.report import Section, table
from tests.tools import batches

NAME = "batch"
SCRIPTS = 10_000
_EVERY_S, _MOST_KILLS = 5.0, 200


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the option that narrows this proof, for development."""
    parser.add_argument("--scripts", type=int, default=SCRIPTS, help="how many scripts the batch has")


def narrowed(options: argparse.Namespace) -> bool:
    """Return whether this is less than the whole proof, in which case its result is not recorded."""
    return bool(options.scripts < SCRIPTS)


def prove(options: argparse.Namespace) -> Section:
    """Run the batch and check every line."""
    title = "Ten thousand scripts in a batch"
    with tempfile.TemporaryDirectory() as directory:
        jobs, out = os.path.join(directory, "jobs"), os.path.join(directory, "out")
        expected = batches.write_jobs(jobs, options.scripts)
        started = time.monotonic()
        try:
            killed = batches.run_under_fire(jobs, out, _EVERY_S, _MOST_KILLS)
            batches.check(out, expected)
        except AssertionError as error:
            return Section(title, "A batch went wrong: %s" % str(error)[:2000], held=False)
        took_s = time.monotonic() - started
    rows = [[kind, sum(of == kind for of, _ in expected.values())] for kind in batches.MANY]
    body = (
        "Every %g s one of its processes was killed, and every fourth time the batch itself, which was then started\n"
        % _EVERY_S
    )
    body += (
        "again: %d times in all. Each id has one line, and each line is right; none is lost. %d scripts took %.0f s.\n\n"
        % (
            killed,
            len(expected),
            took_s,
        )
    )
    return Section(title, body + table(["scripts", "how many"], rows), held=True)
