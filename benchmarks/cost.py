"""What a run costs beside another checkout: processor time, page faults, an admin's run, a hundred callers at once.

A program of its own, `python -m benchmarks.cost BEFORE [ROUNDS]`, where BEFORE is the other checkout, as from `git
worktree add ../before COMMIT`. Each round asks both in the order A B B A, so that a busy minute meets both, and its
ratio is its own: shown are the median of these and the middle half. As root, with the cgroup controller cpuacct.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from typing import Callable, Dict, List

from benchmarks import jobs, load, processes, single, targets
from benchmarks.measure import quantile

KEY = "a-key-for-measuring-with-32-chars"
_GROUPS = "/sys/fs/cgroup/cpuacct/pyexec-cost-%d-%d"
_SETTLE_S = 0.25
_RUNS, _LIGHT, _PAUSE_S, _SLICE_S = 200, 12, 0.025, 0.8
_CROWD = 100

Figures = Dict[str, List[float]]


class Measured:
    """A server in a cgroup of its own."""

    def __init__(self, name: str, root: str, max_runs: int = 5, key: bool = False) -> None:
        """Start it; what it has forked by then is moved along."""
        self.target = targets.start_pyexec(name, root, max_runs, KEY if key else None)
        self._group = _GROUPS % (os.getpid(), self.target.process.pid)
        os.mkdir(self._group)
        for pid in processes.settled_tree(self.target.process.pid):
            with open(self._group + "/cgroup.procs", "w", encoding="ascii") as file:
                file.write(str(pid))

    def cpu_s(self) -> float:
        """Return the processor time of all its processes, also of those that have ended."""
        with open(self._group + "/cpuacct.usage", encoding="ascii") as file:
            return int(file.read()) / 1e9

    def zygotes(self) -> list[int]:
        """Return the processes that have forked others, but for the server."""
        tree = processes.settled_tree(self.target.process.pid)
        return [pid for pid in tree[1:] if _stat(pid)[2]]

    def stop(self) -> None:
        """End it."""
        self.target.stop()
        os.rmdir(self._group)


def _stat(pid: int) -> tuple[int, int, int]:
    """Return a process's minor faults, those of its reaped children, and how long these took in ticks."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    return int(fields[7]), int(fields[8]), int(fields[13]) + int(fields[14])


def _cpu_ms(server: Measured, job: jobs.Job) -> float:
    load.repeat(server.target, job, 2, 20)
    time.sleep(_SETTLE_S)
    before = server.cpu_s()
    load.repeat(server.target, job, 2, _RUNS)
    time.sleep(_SETTLE_S)
    return (server.cpu_s() - before) / _RUNS * 1000


def _p50_ms(server: Measured, job: jobs.Job, admin: bool = False) -> float:
    taken = load.light(server.target, job, _LIGHT, _PAUSE_S, 10, key=KEY if admin else None)
    return quantile(taken, 0.5) * 1000


def _faults(server: Measured, job: jobs.Job) -> tuple[float, float]:
    """Return the page faults of a child, and of its zygote, for a run."""
    load.repeat(server.target, job, 2, 20)
    zygotes = server.zygotes()
    before = [_stat(pid) for pid in zygotes]
    load.repeat(server.target, job, 2, _RUNS)
    processes.settled_tree(server.target.process.pid)
    after = [_stat(pid) for pid in zygotes]
    own, children = (sum(b[n] - a[n] for a, b in zip(before, after)) / _RUNS for n in (0, 1))
    return children, own


def _crowd_s(server: Measured, job: jobs.Job) -> float:
    """Return how long it takes until a hundred callers, who ask at once, all have their answers."""
    together, failures = threading.Barrier(_CROWD + 1), []

    def one() -> None:
        caller = load.Caller(server.target, job)
        together.wait()
        try:
            caller.ask()
        except Exception as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=one) for _ in range(_CROWD)]
    for thread in threads:
        thread.start()
    together.wait()
    start = time.perf_counter()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return time.perf_counter() - start


_FORKS = """
import os, sys, time, numpy as np
for line in sys.stdin:
    start = time.perf_counter()
    for _ in range(CROWD):
        if os.fork() == 0:
            print(np.arange(1000).sum(), file=open(os.devnull, "w"))
            os._exit(0)
    for _ in range(CROWD):
        os.wait()
    print(time.perf_counter() - start, flush=True)
""".replace("CROWD", str(_CROWD))


def _turns(count: int, first: Callable[[], float], second: Callable[[], float]) -> tuple[list[float], list[float]]:
    """Measure two things A B B A, so often; return the mean of each round for both."""
    one: list[float] = []
    two: list[float] = []
    for number in range(count):
        a, b, c, d = first(), second(), second(), first()
        one.append((a + d) / 2)
        two.append((b + c) / 2)
        print(f"… {number + 1} of {count}: {one[-1]:.3f} {two[-1]:.3f}", file=sys.stderr, flush=True)
    return one, two


def _row(what: str, bound: str, one: list[float], two: list[float], unit: str) -> str:
    ratios = [a / b for a, b in zip(one, two)]
    figures = (quantile(ratios, 0.5), quantile(ratios, 0.25), quantile(ratios, 0.75))
    shown = f"{quantile(one, 0.5):.3g} {unit} / {quantile(two, 0.5):.3g} {unit}"
    middle, low, high = figures
    return f"| {what} | {bound} | {middle:.2f} ({low:.2f}–{high:.2f}) | {shown} |"


def main(before_root: str, rounds: int) -> None:
    """Measure and print the rows of a table."""
    every = {job.name: job for job in jobs.make()}
    job, numpy = every["print"], every["numpy"]
    rows = []
    after, before = Measured("after", targets.ROOT, key=True), Measured("before", before_root, key=True)
    fresh, floor = targets.start_rival("fresh"), targets.start_rival("floor")
    for each in (after.target, before.target, fresh, floor):
        for one in (job, numpy):
            load.light(each, one, 5, 0.01, 5)

    def light_floor() -> float:
        return quantile(load.light(floor, job, _LIGHT, _PAUSE_S, 10), 0.5) * 1000

    def rate(target: targets.Target) -> Callable[[], float]:
        return lambda: load.closed_loop(target, job, 2, _SLICE_S)

    def add(what: str, bound: str, first: Callable[[], float], second: Callable[[], float], unit: str) -> None:
        rows.append(_row(what, bound, *_turns(rounds, first, second), unit))
        print(rows[-1], flush=True)

    add("processor time of `print(1)`", "≤ 0.72", lambda: _cpu_ms(after, job), lambda: _cpu_ms(before, job), "ms")
    add("admin p50 / public", "≤ 2.5", lambda: _p50_ms(after, job, True), lambda: _p50_ms(after, job), "ms")
    add("admin p50 / floor", "≤ 4", lambda: _p50_ms(after, job, True), light_floor, "ms")
    add("`print(1)`, 2 callers, a second / fresh", "≥ 2.5", rate(after.target), rate(fresh), "")
    add("the same before", "", rate(before.target), rate(fresh), "")
    add("numpy p50", "≤ 1.05", lambda: _p50_ms(after, numpy), lambda: _p50_ms(before, numpy), "ms")
    for name, server in (("after", after), ("before", before)):
        print(
            "page faults of a child, its zygote, a run, {}: {:.0f}, {:.0f}".format(name, *_faults(server, job)),
            flush=True,
        )
    for measured in (after, before):
        measured.stop()
    for target in (fresh, floor):
        target.stop()

    def start(root: str) -> Callable[[], float]:
        def once() -> float:
            begun = time.perf_counter()
            target = targets.start_pyexec("pyexec", root)
            load.Caller(target, job).ask()
            taken = time.perf_counter() - begun
            target.stop()
            return taken * 1000

        return once

    def idle(root: str) -> Callable[[], float]:
        return lambda: single.memory(targets.start_pyexec("pyexec", root), [job, numpy], 0).fresh / jobs.MIB

    add("start to first answer", "≤ 1.05", start(targets.ROOT), start(before_root), "ms")
    add("idle memory without a key", "≤ 1.05", idle(targets.ROOT), idle(before_root), "MiB")
    crowd = Measured("after", targets.ROOT, max_runs=_CROWD)
    with subprocess.Popen(
        [sys.executable, "-c", _FORKS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=targets.environment()
    ) as forks:

        def fork_all() -> float:
            assert forks.stdin is not None and forks.stdout is not None
            forks.stdin.write(b"x\n")
            forks.stdin.flush()
            return float(forks.stdout.readline()) * 1000

        def ask_all() -> float:
            processes.settled_tree(crowd.target.process.pid)
            return _crowd_s(crowd, numpy) * 1000

        add("100 callers at once, numpy / 100 bare forks", "≤ 2", ask_all, fork_all, "ms")
        assert forks.stdin is not None
        forks.stdin.close()
    crowd.stop()


if __name__ == "__main__":
    main(os.path.abspath(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 15)
