"""Callers, moments and counters, for the tests of who may run now."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from pyexec.accounts import Now
from pyexec.callers import Caller
from pyexec.config import Config
from pyexec.errors import RateLimitExceeded
from pyexec.limits import Limits, Quota

NOON = datetime(2024, 3, 15, 12, 0, 0, tzinfo=timezone.utc)
ANN, BOB = Caller("192.0.2.1", "192.0.2.1"), Caller("192.0.2.2", "192.0.2.2")
ADMIN = Caller("192.0.2.9", "192.0.2.9", admin=True)
HOUR = 3600.0
DAY = 24 * HOUR


def at(seconds: float, start: datetime = NOON, monotonic_s: float = 5000.0) -> Now:
    """Return the moment so many seconds after the start, on both clocks."""
    return Now(monotonic_s + seconds, start + timedelta(seconds=seconds))


def limits_of(**settings: int) -> Limits:
    """Return fresh counters."""
    return Limits(Config.of(**settings))


def refused(counters: Limits, caller: Caller, now: Now) -> RateLimitExceeded:
    """Return the error that a caller gets."""
    with pytest.raises(RateLimitExceeded) as caught:
        counters.charge(caller, now)
    assert (caught.value.status, caught.value.type) == (429, "RateLimitExceeded")
    return caught.value


def use(counters: Limits, caller: Caller, times: int, now: Now) -> Quota:
    """Charge a caller so many times; return what it has left."""
    for _ in range(times):
        quota = counters.charge(caller, now)
    return quota
