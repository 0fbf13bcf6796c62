"""The uids of runs: each belongs to a slot of the server, and is one run's until nothing of that run is left.

A slot outlives the zygotes that use it, since a uid that two of them handed out at once would join two runs: it is free
only when all of its last run is reaped, whichever zygote made it. Each use of a slot is a generation, so that giving
one back twice, or late, frees nothing that another run has meanwhile. The slot that has been free longest is taken
first.
"""

from __future__ import annotations

import collections
import threading
from dataclasses import dataclass
from typing import Callable

# Of each kind of run and zygote: one that runs or waits. What is dying has as many again.
POOLS = 6


@dataclass(frozen=True)
class Slot:
    """One use of a slot."""

    index: int
    generation: int


class Slots:
    """Which slots are in use. Thread-safe."""

    def __init__(self, count: int) -> None:
        """Begin with so many free slots."""
        if count < 1:
            raise ValueError(f"there must be at least one slot, not {count}")
        self._lock = threading.Lock()
        self._free: collections.deque[int] = collections.deque(range(count))
        self._used: dict[int, int] = {}  # index → generation
        self._generation = 0
        self._dying: list[tuple[Slot, Callable[[], bool]]] = []

    def take(self) -> Slot | None:
        """Return a slot that nothing of any run is left in; None if there is none."""
        with self._lock:
            if not self._free:
                return None
            self._generation += 1
            slot = Slot(self._free.popleft(), self._generation)
            self._used[slot.index] = slot.generation
            return slot

    def free(self, slot: Slot) -> None:
        """Take a slot back whose run is all gone; one of an earlier generation is passed over."""
        with self._lock:
            if self._used.get(slot.index) == slot.generation:
                del self._used[slot.index]
                self._free.append(slot.index)

    def free_when(self, slot: Slot, gone: Callable[[], bool]) -> None:
        """Take a slot back as soon as `reclaim` finds that its run is gone."""
        with self._lock:
            self._dying.append((slot, gone))

    def reclaim(self) -> bool:
        """Free what can be freed; return whether any run is still dying. Called by the keeper alone."""
        for entry in list(self._dying):
            if entry[1]():
                with self._lock:
                    self._dying.remove(entry)
                self.free(entry[0])
        return bool(self._dying)

    @property
    def free_count(self) -> int:
        """How many slots are free."""
        return len(self._free)
