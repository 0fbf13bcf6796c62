"""The slots of one server, and the queue of those that wait for one. Knows neither callers' quotas nor what a run is.

First in, first out, but for a party that has all the slots it may have itself: it is passed over until one of its own
comes back. Who waits has a thread and its job in memory, so the queue is bounded as a whole and for each party.
"""

from __future__ import annotations

import collections
import threading
import time
from dataclasses import dataclass
from typing import Counter

from pyexec import units
from pyexec.errors import ServerBusy
from pyexec.presence import CallerGone, Presence, is_gone_now

_LOOK_S = 0.1  # how often a request in the queue looks whether its caller is still there


@dataclass(frozen=True)
class Party:
    """For whom a slot is: an address, a key or an admin.

    Attributes:
        name: requests of the same name are one party. most_running: slots that it may have at once, None for all.
        most_waiting: places in the queue that it may have at once, None for all.
    """

    name: str
    most_running: int | None = None
    most_waiting: int | None = None


class _Waiter:
    """One request in the queue; `turn` is set once it has a slot."""

    __slots__ = ("party", "turn")

    def __init__(self, party: Party) -> None:
        self.party, self.turn = party, threading.Event()


class SlotQueue:
    """Hands out the slots of one server. Thread-safe."""

    def __init__(self, slots: int, places: int, longest_s: float) -> None:
        """Start with every slot free. At most `places` requests wait at once, each for at most `longest_s` seconds."""
        self._slots, self._places, self._longest_s = slots, places, longest_s
        self._lock = threading.Lock()
        self._active = 0
        self._running: Counter[str] = collections.Counter()
        self._queue: collections.deque[_Waiter] = collections.deque()
        self._waiting: Counter[str] = collections.Counter()

    @property
    def active(self) -> int:
        """Slots that are taken."""
        return self._active

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._queue)

    def take(self, party: Party, presence: Presence | None = None) -> int:
        """Take a slot, after a wait if need be; return how many were taken when the request came.

        Args:
            presence: says whether the caller has gone; asked while the request waits.

        Raises:
            ServerBusy: no slot is free, and none became free in time or there is no place in the queue.
            CallerGone: it left the queue.
        """
        with self._lock:
            active = self._active
            # Nobody in the queue could take this slot, or it would have had it when it became free.
            if active < self._slots and self._may_run(party):
                self._start(party)
                return active
            waiter = self._enter(party)
        try:
            self._await(waiter, presence)
        except BaseException:
            self._leave(waiter)
            raise
        return active

    def release(self, party: Party) -> None:
        """Give a slot back, to the first in the queue that may have it."""
        with self._lock:
            self._release(party)

    def _await(self, waiter: _Waiter, presence: Presence | None) -> None:
        """Return once the waiter has a slot. Raises ServerBusy, CallerGone."""
        deadline = time.monotonic() + self._longest_s
        while True:
            left = max(0.0, deadline - time.monotonic())
            has_slot = waiter.turn.wait(min(_LOOK_S, left))
            if presence is not None and is_gone_now(presence):
                raise CallerGone(begun=False)
            if has_slot:
                return
            if not left:
                raise ServerBusy(self._too_long(), limit_name="queue")

    def _may_run(self, party: Party) -> bool:
        return party.most_running is None or self._running[party.name] < party.most_running

    def _start(self, party: Party) -> None:
        self._active += 1
        self._running[party.name] += 1

    def _release(self, party: Party) -> None:
        self._active -= 1
        _decrement(self._running, party.name)
        for waiter in self._queue:
            if self._may_run(waiter.party):
                self._remove(waiter)
                self._start(waiter.party)
                waiter.turn.set()
                return

    def _enter(self, party: Party) -> _Waiter:
        """Return a new place in the queue. Raises ServerBusy: there is none."""
        if not self._may_run(party) and not self._places:
            raise ServerBusy(self._own_taken(party), limit_name="slots")
        if len(self._queue) >= self._places:
            raise ServerBusy(self._full(), limit_name="queue" if self._places else "runs")
        if party.most_waiting is not None and self._waiting[party.name] >= party.most_waiting:
            requests = units.count(party.most_waiting, "request")
            raise ServerBusy(
                f"{requests} of yours {'waits' if party.most_waiting == 1 else 'wait'} already; try again in a moment.",
                limit_name="queue",
            )
        waiter = _Waiter(party)
        self._queue.append(waiter)
        self._waiting[party.name] += 1
        return waiter

    def _leave(self, waiter: _Waiter) -> None:
        """Give up a place, or the slot that the waiter has just been given."""
        with self._lock:
            if waiter.turn.is_set():
                self._release(waiter.party)
            else:
                self._remove(waiter)

    def _remove(self, waiter: _Waiter) -> None:
        self._queue.remove(waiter)
        _decrement(self._waiting, waiter.party.name)

    def _full(self) -> str:
        taken = "The only slot is taken" if self._slots == 1 else f"All {self._slots} slots are taken"
        waiting = f", and {units.count(self._places, 'request')} {_wait(self._places)}" if self._places else ""
        return f"{taken}{waiting}; try again in a moment."

    def _own_taken(self, party: Party) -> str:
        if party.most_running == 1:
            return "The only slot of this key is taken; try again in a moment."
        return f"All {party.most_running} slots of this key are taken; try again in a moment."

    def _too_long(self) -> str:
        return f"No slot became free within {units.seconds(self._longest_s)}; try again in a moment."


def _wait(number: int) -> str:
    return "waits" if number == 1 else "wait"


def _decrement(counter: Counter[str], name: str) -> None:
    counter[name] -= 1
    if not counter[name]:
        del counter[name]
