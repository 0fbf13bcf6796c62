"""Performance goals, as ratios within one run on two cores with every layer on; `judge` tells which were met."""

from __future__ import annotations

from typing import Callable, NamedTuple

from benchmarks.measure import Results, quantile, rate_ratio, ratio
from benchmarks.outcome import Outcome


class Goal(NamedTuple):
    """One ratio and its bound; `figure` raises KeyError if this run did not measure it."""

    what: str
    at_most: bool
    bound: float
    figure: Callable[[Outcome, str], float]


def _light(job: str, other: str) -> Callable[[Outcome, str], float]:
    return lambda outcome, name: ratio(outcome.results, job, name, other)


def _rate(job: str, callers: int) -> Callable[[Outcome, str], float]:
    def figure(outcome: Outcome, name: str) -> float:
        results: Results = outcome.results
        return rate_ratio(results, job, callers, name, "fresh")

    return figure


def _start(outcome: Outcome, name: str) -> float:
    return quantile(outcome.starts[name], 0.5) / quantile(outcome.starts["imports"], 0.5)


def _memory(outcome: Outcome, name: str) -> float:
    if outcome.one_process is None:
        raise KeyError("memory")
    return outcome.memory[name].fresh / outcome.one_process


def _kept(what: str) -> Callable[[Outcome, str], float]:
    def figure(outcome: Outcome, name: str) -> float:
        before, after = outcome.soaks[name]
        return float(getattr(after, what) / getattr(before, what))

    return figure


GOALS: tuple[Goal, ...] = (
    Goal("print(1), light load, p50 / fresh", True, 0.10, _light("print", "fresh")),
    Goal("print(1), light load, p50 / floor", True, 1.6, _light("print", "floor")),
    Goal("numpy, light load, p50 / fresh", True, 0.02, _light("numpy", "fresh")),
    Goal("photo to grayscale, light load, p50 / fresh", True, 0.33, _light("photo", "fresh")),
    Goal("PDF, light load, p50 / fresh", True, 0.08, _light("pdf", "fresh")),
    Goal("print(1), 2 callers, throughput / fresh", False, 5, _rate("print", 2)),
    Goal("numpy, 2 callers, throughput / fresh", False, 25, _rate("numpy", 2)),
    Goal("8 MB in, light load, p50 / floor", True, 0.7, _light("8mb-in", "floor")),
    Goal("8 MB out, light load, p50 / floor", True, 0.4, _light("8mb-out", "floor")),
    Goal("start to first answer / imports in one interpreter", True, 1.3, _start),
    Goal("memory when idle / imports in one interpreter", True, 1.5, _memory),
    # Within the noise between two identical runs; growth of 1 % over 100 times as many runs is not a leak.
    Goal("memory after all runs / after the first 100", True, 1.02, _kept("pss_bytes")),
    Goal("descriptors after all runs / after the first 100", True, 1.0, _kept("descriptors")),
    Goal("threads after all runs / after the first 100", True, 1.0, _kept("threads")),
)


class Verdict(NamedTuple):
    """A goal, the measured value, and whether it meets the goal."""

    goal: Goal
    measured: float
    met: bool


def judge(outcome: Outcome, name: str) -> list[Verdict]:
    """Return the goals that this run measured for one pyexec."""
    found: list[Verdict] = []
    for goal in GOALS:
        measured = _measured(goal, outcome, name)
        if measured is not None:
            met = measured <= goal.bound if goal.at_most else measured >= goal.bound
            found.append(Verdict(goal, measured, met))
    return found


def _measured(goal: Goal, outcome: Outcome, name: str) -> float | None:
    try:
        return goal.figure(outcome, name)
    except KeyError:
        return None
