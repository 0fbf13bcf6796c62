"""Interleaved rounds: in each round every server is asked for every job, so that a busy minute hits all of them."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Dict, Sequence, Tuple

from benchmarks import load
from benchmarks.jobs import Job
from benchmarks.targets import Target

CALLERS = (1, 2, 5)
KEPT_JOBS = ("print", "numpy")
# The slow ones get fewer requests, not longer rounds.
_SLICE_S = 0.8


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value below which this share of them lies."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


@dataclass
class Figures:
    """What was measured of one job on one server: a list for each round."""

    light: list[list[float]] = field(default_factory=list)
    kept: list[list[float]] = field(default_factory=list)
    rates: dict[int, list[float]] = field(default_factory=dict)

    def p(self, share: float, kept: bool = False) -> float:
        """Return a quantile of the seconds under light load, over all rounds."""
        return quantile([taken for some in (self.kept if kept else self.light) for taken in some], share)

    def rate(self, callers: int) -> float:
        """Return the answers a second, the median of the rounds."""
        return quantile(self.rates[callers], 0.5)


Results = Dict[Tuple[str, str], Figures]


def ratios(results: Results, job: str, mine: str, other: str) -> list[float]:
    """Return my p50 under light load as a share of another's, round by round.

    In pairs, since a busy minute then meets both; the p50 over all rounds may be of a quiet minute for one alone.
    """
    pairs = zip(results[job, mine].light, results[job, other].light)
    found = [quantile(a, 0.5) / quantile(b, 0.5) for a, b in pairs]
    if not found:
        raise KeyError("light load")
    return found


def ratio(results: Results, job: str, mine: str, other: str) -> float:
    """Return the median of those ratios. Raises KeyError if it was not measured."""
    return quantile(ratios(results, job, mine, other), 0.5)


def rate_ratio(results: Results, job: str, callers: int, mine: str, other: str) -> float:
    """Return my throughput as a multiple of another's, the median of the rounds. Raises KeyError."""
    pairs = zip(results[job, mine].rates[callers], results[job, other].rates[callers])
    return quantile([a / b for a, b in pairs], 0.5)


def warm_up(targets: Sequence[Target], jobs: Sequence[Job]) -> None:
    """Have every server answer every job, uncounted. Raises WrongAnswer."""
    for target in targets:
        for job in jobs:
            load.light(target, job, 3, 0.01, 0)


def light_rounds(
    results: Results, targets: Sequence[Target], jobs: Sequence[Job], rounds: int, each: int, pause_s: float
) -> None:
    """Measure under light load: one request at a time with short pauses."""
    for number in range(rounds):
        _say(f"light load, round {number + 1} of {rounds}")
        for job in jobs:
            for target in _turned(targets, number):
                figures = results.setdefault((job.name, target.name), Figures())
                figures.light.append(load.light(target, job, each, pause_s, _SLICE_S))
                if job.name in KEPT_JOBS:
                    figures.kept.append(load.light(target, job, each, pause_s, _SLICE_S, kept=True))


def throughput_rounds(
    results: Results, targets: Sequence[Target], jobs: Sequence[Job], rounds: int, seconds: float
) -> None:
    """Measure closed loops of some callers."""
    for number in range(rounds):
        for callers in CALLERS:
            _say(f"{callers} caller{'s' if callers > 1 else ''}, round {number + 1} of {rounds}")
            for job in jobs:
                for target in _turned(targets, number):
                    figures = results.setdefault((job.name, target.name), Figures())
                    figures.rates.setdefault(callers, []).append(load.closed_loop(target, job, callers, seconds))


def _turned(targets: Sequence[Target], number: int) -> list[Target]:
    """Rotate the order each round, since the server measured just before affects the next one."""
    at = number % len(targets)
    return list(targets[at:]) + list(targets[:at])


def _say(words: str) -> None:
    print("… " + words, file=sys.stderr, flush=True)
