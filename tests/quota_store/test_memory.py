"""Quotas in memory: what every store promises, and the bounds of this one. Clocks and days are in tests/test_limits.py."""

from __future__ import annotations

from datetime import timedelta

import pytest
from quota_suite import ANN, BOB, FIVE, QuotaSuite, Store

from pyexec.accounts import Now
from pyexec.quota_store import memory
from pyexec.quota_store.memory import Memory


class InMemory(Store):
    """Quotas in memory, told a moment that has moved on."""

    def __init__(self, max_callers: int = 1000) -> None:
        super().__init__(Memory(max_callers))
        self._passed_s, self._start = 0.0, Now.read()

    def pass_time(self, seconds: float) -> None:
        """Move on."""
        self._passed_s += seconds

    def now(self) -> Now:
        """Return the moment that the test has reached."""
        return Now(self._start.monotonic_s + self._passed_s, self._start.utc + timedelta(seconds=self._passed_s))


class TestMemory(QuotaSuite):
    @pytest.fixture
    def quotas(self) -> Store:
        return InMemory()


def test_looking_remembers_nobody() -> None:
    quotas = InMemory()
    quotas.look()
    assert quotas.store.callers == 0
    quotas.charge()
    assert quotas.store.callers == 1


def test_the_least_recently_seen_caller_is_forgotten() -> None:
    quotas = InMemory(max_callers=2)
    first = quotas.charge(ANN)
    quotas.charge(BOB)
    quotas.charge("192.0.2.3")
    assert quotas.store.callers == 2
    assert quotas.store.give_back(first) is None


def test_repetitions_are_bounded_and_the_oldest_is_forgotten(monkeypatch) -> None:
    monkeypatch.setattr(memory, "_MOST_REPEATED", 3)
    quotas = InMemory()
    charges = [quotas.charge(str(number), once="id") for number in range(4)]
    assert [quotas.charge(str(number), once="id").paid for number in (1, 2, 3)] == [False] * 3
    assert quotas.charge("0", once="id").paid
    # What is no longer known to be repeated is given back by whoever paid.
    quota = quotas.store.give_back(charges[1])
    assert quota is not None and quota.used_today in (0, 1)


def test_ten_thousand_repetitions_are_known() -> None:
    store, now = Memory(20000), Now.read()
    for number in range(10_001):
        store.charge(str(number), FIVE, now, "id")
    assert store.charge("0", FIVE, now, "id").paid and not store.charge("10000", FIVE, now, "id").paid
