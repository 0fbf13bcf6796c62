"""The program: flags, and the order of things."""

from __future__ import annotations

import argparse
import contextlib
import sys
from typing import List, Tuple

from benchmarks import jobs, measure, report, targets


def _named(text: str) -> Tuple[str, str]:
    name, _, path = text.partition("=")
    if not path or name in targets.LABELS:
        raise argparse.ArgumentTypeError("give NAME=PATH, with a name that is not taken")
    return name, path


def _arguments(argv: List[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a rough look within a minute")
    parser.add_argument("--only", metavar="JOB,JOB", help="these jobs: print numpy photo pdf stdin 8mb-in 8mb-out")
    parser.add_argument("--against", metavar="NAME,NAME", help="these rivals: floor fresh bubblewrap (or none)")
    parser.add_argument(
        "--also",
        metavar="NAME=PATH",
        type=_named,
        action="append",
        default=[],
        help="the pyexec of another checkout, beside this one",
    )
    parser.add_argument("--rounds", type=int, help="rounds of light load (8; quick: 2)")
    parser.add_argument("--each", type=int, default=8, help="requests of each job to each server in a round")
    parser.add_argument("--pause-ms", type=float, default=25, help="before each request of light load")
    parser.add_argument("--slice-s", type=float, help="length of a closed loop (1; quick: 0.5)")
    parser.add_argument("--no-throughput", action="store_true", help="light load only")
    return parser.parse_args(argv)


def main(argv: List[str]) -> int:
    """Measure and print. Returns the exit status."""
    wanted = _arguments(argv)
    chosen = jobs.make()
    if wanted.only:
        known = {job.name: job for job in chosen}
        chosen = [known[name] for name in wanted.only.split(",")]
    kinds = ["floor", "fresh", "bubblewrap"]
    if wanted.against:
        kinds = [kind for kind in kinds if kind in wanted.against.split(",")]
    for kind, reason in targets.missing().items():
        if kind in kinds:
            kinds.remove(kind)
            print("left out: %s (%s)" % (kind, reason))
    rounds = wanted.rounds or (2 if wanted.quick else 8)
    results: measure.Results = {}
    with contextlib.ExitStack() as stack:
        running: List[targets.Target] = []

        def add(target: targets.Target) -> None:
            running.append(target)
            stack.callback(target.stop)

        add(targets.start_pyexec())
        for name, path in wanted.also:
            add(targets.start_pyexec(name, path))
        for kind in kinds:
            add(targets.start_rival(kind))
        measure.warm_up(running, chosen)
        measure.light_rounds(results, running, chosen, rounds, wanted.each, wanted.pause_ms / 1000)
        print("\n" + report.light(results, running, chosen), flush=True)
        if not wanted.no_throughput:
            seconds = wanted.slice_s or (0.5 if wanted.quick else 1.0)
            measure.throughput_rounds(results, running, chosen, 1 if wanted.quick else 2, seconds)
            print("\n" + report.throughput(results, running, chosen), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
