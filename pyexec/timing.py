"""Where the time of a request goes: consecutive stages that add up to the whole. Pure but for the clock."""

from __future__ import annotations

import time
from typing import Iterable, Sequence, Tuple

Stage = Tuple[str, float]  # its name, an HTTP token, and its seconds


class Stopwatch:
    """Notes stages as they end; each begins where the one before it ended."""

    def __init__(self, started_s: float) -> None:
        """Start at a time on the monotonic clock."""
        self._last = started_s
        self.stages: list[Stage] = []

    def mark(self, name: str) -> None:
        """Note that the named stage ends now."""
        self.mark_at(name, time.monotonic())

    def mark_at(self, name: str, moment_s: float) -> None:
        """Note that a stage ended at a moment in the past, or at the last mark if that is later."""
        moment_s = max(self._last, moment_s)
        self.stages.append((name, moment_s - self._last))
        self._last = moment_s

    def add(self, name: str, seconds: float) -> None:
        """Note a stage measured by another stopwatch."""
        self.mark_at(name, self._last + seconds)

    def mark_reported(self, names: Sequence[str], moments_s: object) -> None:
        """Note the stages a run reports, one more name than moments; a malformed report is booked on the last stage.

        Nothing else relies on the report: the script can forge it.
        """
        now = time.monotonic()
        numbers = moments_s if isinstance(moments_s, list) and len(moments_s) == len(names) - 1 else []
        for name, moment in zip(names, numbers):
            self.mark_at(name, min(now, moment) if type(moment) is float and moment == moment else self._last)
        self.mark_at(names[-1], now)


def server_timing(stages: Iterable[Stage]) -> str:
    """Return the value of a Server-Timing field (W3C Server Timing), in milliseconds."""
    stages = list(stages)
    whole = ("total", sum(seconds for _, seconds in stages))
    return ", ".join(f"{name};dur={seconds * 1000:.3f}" for name, seconds in stages + [whole])
