"""The counters of one caller: a token bucket for the minute, a count for the day. Rate and time are arguments.

Not thread-safe: `limits` and `keys`, which keep tables of these, hold the locks.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from datetime import datetime, timezone

_DAY_S = 86400
ROUNDING = 1e-6  # the most that floating point may lose of a token or a second
# A moment may be used late: it is read before a run, which takes an hour at most. One further back means that the clock
# was set back, as when a virtual machine is restored; waiting for it to catch up would be wrong.
_LATE_S = 7200.0


@dataclass(frozen=True)
class Now:
    """One moment on both clocks: `monotonic_s` for buckets, `utc` for days. Only the second can be set back."""

    monotonic_s: float
    utc: datetime

    @classmethod
    def read(cls) -> Now:
        """Return the present moment."""
        return cls(time.monotonic(), datetime.now(timezone.utc))

    @property
    def until_midnight_s(self) -> int:
        """Seconds until the next day in UTC."""
        # Not computed from tomorrow's date, which overflows on datetime's last day.
        utc = self.utc
        since_s = utc.hour * 3600 + utc.minute * 60 + utc.second + utc.microsecond / 1e6
        return max(1, math.ceil(_DAY_S - since_s - ROUNDING))


class Bucket:
    """One caller's tokens, and when they were last counted."""

    __slots__ = ("tokens", "filled_at")

    def __init__(self, rate: int, now_s: float) -> None:
        """Start full."""
        self.tokens, self.filled_at = float(rate), now_s

    def fill(self, rate: int, now_s: float) -> None:
        """Add the tokens that have become due since the last call."""
        passed_s = now_s - self.filled_at
        if passed_s > 0:
            self.tokens = min(float(rate), self.tokens + passed_s * rate / 60)
        if passed_s > 0 or passed_s < -_LATE_S:
            self.filled_at = now_s

    def wait_s(self, rate: int) -> int:
        """Return the whole seconds until a token is available; 0 if one is."""
        if self.tokens >= 1 - ROUNDING:
            return 0
        return max(1, math.ceil((1 - self.tokens) * 60 / rate - ROUNDING))

    def take(self) -> None:
        """Take a token."""
        self.tokens = max(0.0, self.tokens - 1)

    def give_back(self, rate: int) -> None:
        """Return a token."""
        self.tokens = min(float(rate), self.tokens + 1)


class Account(Bucket):
    """One caller's counters: the minute's bucket and the day's count.

    `day` never goes back; `overdue_s` is the latest moment at which the next one begins, if the clock was ahead.
    """

    __slots__ = ("day", "used", "overdue_s", "_began_s")

    def __init__(self, rate: int, now: Now) -> None:
        super().__init__(rate, now.monotonic_s)
        self.day, self.used, self.overdue_s = now.utc.toordinal(), 0, math.inf
        self._began_s = now.monotonic_s

    def look_at_day(self, now: Now) -> None:
        """Begin a new day if one is due.

        Setting the clock back starts no new day. A clock that was ahead must not freeze a quota until real time has
        caught up: such a day ends at the next midnight by the monotonic clock, or after 24 hours.
        """
        today = now.utc.toordinal()
        if today < self.day:
            self.overdue_s = min(self.overdue_s, self._began_s + _DAY_S, now.monotonic_s + now.until_midnight_s)
        if today > self.day or now.monotonic_s >= self.overdue_s:
            self.day, self.used, self.overdue_s = max(today, self.day), 0, math.inf
            self._began_s = now.monotonic_s

    def day_left_s(self, now: Now) -> int:
        """Return the seconds until the next day begins for this caller."""
        if now.utc.toordinal() < self.day:
            return max(1, math.ceil(self.overdue_s - now.monotonic_s - ROUNDING))
        return now.until_midnight_s
