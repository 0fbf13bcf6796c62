"""Benchmark of pyexec beside what it is compared with; see docs/performance.md."""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import subprocess
import sys
from typing import Callable

from benchmarks import jobs, measure, page, report, single, targets
from benchmarks.outcome import Outcome

MEMORY_RUNS = 1000
SOAK_FIRST = 100
PHASES = ("light", "throughput", "start", "memory", "layers")


def _named(text: str) -> tuple[str, str]:
    name, _, path = text.partition("=")
    if not path or name in targets.LABELS:
        raise argparse.ArgumentTypeError("give NAME=PATH, with a name that is not taken")
    return name, path


def _some(*known: str) -> Callable[[str], list[str]]:
    def several(text: str) -> list[str]:
        names = [] if text == "none" else text.split(",")
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is not one of {', '.join(known)}")
        return names

    return several


def _arguments(argv: list[str], names: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add("--quick", action="store_true", help="a rough look: fewer rounds, only light load and throughput")
    add("--only", metavar="JOB,…", type=_some(*names), default=names, help=" ".join(names))
    kinds = ("floor", "fresh", "bubblewrap")
    add("--against", metavar="RIVAL,…", type=_some(*kinds), default=list(kinds), help=" ".join(kinds + ("none",)))
    add("--phases", metavar="PHASE,…", type=_some(*PHASES), help=" ".join(PHASES))
    add("--also", metavar="NAME=PATH", type=_named, action="append", default=[], help="another checkout's pyexec")
    add("--rounds", type=int, metavar="N", help="of light load (8; quick: 2)")
    add("--each", type=int, default=8, metavar="N", help="requests for each job and server in such a round (8)")
    add("--pause-ms", type=float, default=25, metavar="MS", help="before each request of light load (25)")
    add("--loops", type=int, metavar="N", help="rounds of throughput (3; quick: 1)")
    add("--slice-s", type=float, default=0.6, metavar="S", help="length of each loop of throughput (0.6)")
    add("--soak", type=int, metavar="N", help="also N runs, and what they leave behind (10000 for the page)")
    add("--write-docs", action="store_true", help="put tables and picture into docs/")
    wanted = parser.parse_args(argv)
    if wanted.phases is None:
        wanted.phases = PHASES[:2] if wanted.quick else PHASES
    wanted.rounds = wanted.rounds or (2 if wanted.quick else 8)
    wanted.loops = wanted.loops or (1 if wanted.quick else 3)
    return wanted


def _against_each_other(wanted: argparse.Namespace, outcome: Outcome, pyexecs: list[tuple[str, str]]) -> None:
    """Measure light load and throughput with all servers up."""
    with contextlib.ExitStack() as stack:
        running: list[targets.Target] = []
        for name in outcome.servers:
            roots = dict(pyexecs)
            running.append(targets.start_pyexec(name, roots[name]) if name in roots else targets.start_rival(name))
            stack.callback(running[-1].stop)
        measure.warm_up(running, outcome.jobs)
        if "light" in wanted.phases:
            pause_s = wanted.pause_ms / 1000
            measure.light_rounds(outcome.results, running, outcome.jobs, wanted.rounds, wanted.each, pause_s)
            _print(report.light(outcome))
        if "throughput" in wanted.phases:
            measure.throughput_rounds(outcome.results, running, outcome.jobs, wanted.loops, wanted.slice_s)
            _print(report.throughput(outcome))


def _alone(wanted: argparse.Namespace, outcome: Outcome, pyexecs: list[tuple[str, str]], first: list[jobs.Job]) -> None:
    """Measure what is measured with nothing else running."""
    if "start" in wanted.phases:
        outcome.starts = single.start_times(first[0], 5, pyexecs)
        _print(report.starts(outcome))
    if "memory" in wanted.phases:
        outcome.one_process = single.one_process_bytes()
        for name, root in pyexecs:
            outcome.memory[name] = single.memory(targets.start_pyexec(name, root), first, MEMORY_RUNS)
        if "floor" in outcome.servers:
            outcome.memory["floor"] = single.memory(targets.start_rival("floor"), first, MEMORY_RUNS)
        _print(report.memory(outcome))
    if "layers" in wanted.phases:
        command = [sys.executable, "-m", "benchmarks.layers", "200"]
        done = subprocess.run(command, stdout=subprocess.PIPE, env=targets.environment(), check=True)
        outcome.layers = {name: (whole, calls) for name, (whole, calls) in json.loads(done.stdout).items()}
        _print(report.layers(outcome))
    if wanted.soak:
        outcome.soak_runs = wanted.soak
        for name, root in pyexecs:
            outcome.soaks[name] = single.soak(name, root, first, SOAK_FIRST, wanted.soak)
        _print(report.soak(outcome))


def _print(text: str) -> None:
    print(text, flush=True)


def main(argv: list[str]) -> int:
    """Measure and print. Returns the exit status."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped then as well
    every = jobs.make()
    wanted = _arguments(argv, [job.name for job in every])
    missing = targets.missing()
    pyexecs = [("pyexec", targets.ROOT)] + wanted.also
    rivals = [kind for kind in wanted.against if kind not in missing]
    chosen = [job for job in every if job.name in wanted.only]
    outcome = Outcome(chosen, [name for name, _ in pyexecs] + rivals, report.machine())
    for kind, reason in missing.items():
        _print(f"Left out: {kind} ({reason}).")
    _print(outcome.machine + "\n")
    if {"light", "throughput"} & set(wanted.phases):
        _against_each_other(wanted, outcome, pyexecs)
    _alone(wanted, outcome, pyexecs, [job for job in every if job.name in ("print", "numpy")])
    for name, _ in pyexecs:
        _print(report.verdicts(outcome, name))
    if wanted.write_docs:
        page.write(outcome)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
