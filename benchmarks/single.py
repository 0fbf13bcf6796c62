"""Individual figures: time from start to first answer, memory, and what stays behind after many runs."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import NamedTuple, Sequence

from benchmarks import load, processes, targets
from benchmarks.jobs import Job
from benchmarks.processes import Holdings

IMPORTS = "import numpy, PIL, reportlab, fpdf"
_CALLERS = 2
_REST_S = 8.0  # threads that wait for a connection end after five seconds


def start_times(job: Job, count: int, roots: Sequence[tuple[str, str]]) -> dict[str, list[float]]:
    """Return how long each pyexec takes from its start to its first answer, and one interpreter for the imports.

    One of each in turn, after one that isn't counted, since that reads the files.
    """
    taken: dict[str, list[float]] = {"imports": []}
    for _ in range(count + 1):
        for name, root in roots:
            start = time.perf_counter()
            target = targets.start_pyexec(name, root)
            try:
                load.Caller(target, job).ask()
                taken.setdefault(name, []).append(time.perf_counter() - start)
            finally:
                target.stop()
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", IMPORTS], env=targets.environment(), check=True)
        taken["imports"].append(time.perf_counter() - start)
    return {name: each[1:] for name, each in taken.items()}


def one_process_bytes() -> int:
    """Return the memory of one interpreter with the imports of pyexec's zygote."""
    code = IMPORTS + "; import sys; print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=targets.environment()
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdout.readline()
        pss = processes.holdings(process.pid).pss_bytes
        process.stdin.close()
    return pss


class Memory(NamedTuple):
    """Bytes of a server with all below it, when idle: at first and after so many runs."""

    fresh: int
    used: int


def memory(target: targets.Target, jobs: Sequence[Job], runs: int) -> Memory:
    """Measure a server that has just been started, with no other that shares its libraries running. Stops it."""
    try:
        for job in jobs:
            load.Caller(target, job).ask()
        fresh = processes.holdings(target.process.pid).pss_bytes
        for job in jobs:
            load.repeat(target, job, _CALLERS, runs // len(jobs))
        return Memory(fresh, processes.holdings(target.process.pid).pss_bytes)
    finally:
        target.stop()


def soak(name: str, root: str, jobs: Sequence[Job], first: int, runs: int) -> tuple[Holdings, Holdings]:
    """Return what a pyexec at rest holds after the first runs, and after all; with 5 callers, who use all of it."""

    def asked(count: int) -> Holdings:
        for job in jobs:
            load.repeat(target, job, 5, count // len(jobs))
        time.sleep(_REST_S)
        return processes.holdings(target.process.pid)

    target = targets.start_pyexec(name, root)
    try:
        return asked(first), asked(runs - first)
    finally:
        target.stop()
