"""Slots: the uids of runs. A slot belongs to one run until every process of that run is gone.

Slots outlive zygotes, because a uid handed out by two zygotes at once would let two runs meet: a slot is free only once
its last run has been reaped completely, whichever zygote forked it. Each use of a slot is a generation, so freeing a
slot twice, or late, can't free it for a run that has it now. The slot that has been free longest is taken first.
"""

from __future__ import annotations

import collections
import threading
from dataclasses import dataclass
from typing import Callable

# Slots for each of `max_runs`: two zygotes and two kinds of run make up to four children; others may still be dying.
POOLS = 6


@dataclass(frozen=True)
class Slot:
    """One use of a slot."""

    index: int
    generation: int


class Slots:
    """Which slots are in use. Thread-safe."""

    def __init__(self, count: int) -> None:
        """Start with this many free slots. Raises ValueError for fewer than one."""
        if count < 1:
            raise ValueError(f"there must be at least one slot, not {count}")
        self._lock = threading.Lock()
        self._free: collections.deque[int] = collections.deque(range(count))
        self._used: dict[int, int] = {}  # index → generation
        self._generation = 0
        self._dying: list[tuple[Slot, Callable[[], bool]]] = []

    def take(self) -> Slot | None:
        """Return a free slot, or None if there is none."""
        with self._lock:
            if not self._free:
                return None
            self._generation += 1
            slot = Slot(self._free.popleft(), self._generation)
            self._used[slot.index] = slot.generation
            return slot

    def free(self, slot: Slot) -> None:
        """Free a slot whose run is gone; a slot of an earlier generation is ignored."""
        with self._lock:
            if self._used.get(slot.index) == slot.generation:
                del self._used[slot.index]
                self._free.append(slot.index)

    def free_when(self, slot: Slot, gone: Callable[[], bool]) -> None:
        """Free a slot as soon as `reclaim` finds that its run is gone."""
        with self._lock:
            self._dying.append((slot, gone))

    def reclaim(self) -> bool:
        """Free the slots of runs that are gone; return whether any run is still dying. Only the keeper calls this."""
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
