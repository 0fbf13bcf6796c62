"""The disk guard: when the disk that runs share is nearly full, the run that has taken the most space is ended.

Used only where runs can't each have a tmpfs. The watch enforces each run's own limit; the guard covers what no single
limit does: several runs at once, deleted files that the watch can't see, and a disk that was nearly full to begin with.
Thread-safe.
"""

from __future__ import annotations

import os
import threading
from typing import Hashable

_LEAST_FREE_BYTES = 1 << 30
_LEAST_FREE_PART = 10


class Victim:
    """A run to be ended: whether it is at fault, and how many bytes it had taken."""

    def __init__(self, at_fault: bool, taken_bytes: int) -> None:
        self.at_fault, self.taken_bytes = at_fault, taken_bytes


class Guard:
    """Tracks the free space of one disk and how much each run has taken of it."""

    def __init__(self, directory_fd: int) -> None:
        """Guard the disk that an open directory is on."""
        self._directory_fd = directory_fd
        self._lock = threading.Lock()
        self._taken_bytes: dict[Hashable, int] = {}
        self._suspects: set[Hashable] = set()
        self._others_bytes = self._used_bytes()  # what lies there besides runs' files
        self._ending: Hashable | None = None
        self._someone_was_at_fault = False

    def short(self) -> bool:
        """Return whether less is free than 10 % of the disk or 1 GiB, whichever is smaller. Raises OSError."""
        room = os.fstatvfs(self._directory_fd)
        size_bytes, free_bytes = room.f_blocks * room.f_frsize, room.f_bavail * room.f_frsize
        return free_bytes < min(size_bytes // _LEAST_FREE_PART, _LEAST_FREE_BYTES)

    def look(self, run: Hashable, taken_bytes: int, perhaps_more: bool = False) -> Victim | None:
        """Record what a run has taken; return a Victim if this run is to be ended now. Raises OSError.

        A run that has perhaps taken more than can be seen is held to have taken all that no run is known to have.
        Where that decides between several such runs, none of them is known to be at fault.

        Runs are ended one at a time: the next is chosen once the space of the last is free again. The first to be ended
        since the disk was last in order is at fault; those that follow had taken less and are not.
        """
        with self._lock:
            self._taken_bytes[run] = taken_bytes
            (self._suspects.add if perhaps_more else self._suspects.discard)(run)
            # Checked with the lock held: the disk may have been short only until the last run's directory was removed.
            if not self.short():
                self._someone_was_at_fault = False
                return None
            hidden_bytes = max(0, self._used_bytes() - self._others_bytes - sum(self._taken_bytes.values()))
            most = {each: taken + hidden_bytes * (each in self._suspects) for each, taken in self._taken_bytes.items()}
            if self._ending is not None or most[run] < max(most.values()):
                return None
            self._ending = run
            at_fault, self._someone_was_at_fault = not self._someone_was_at_fault, True
            sure = taken_bytes == max(self._taken_bytes.values()) or self._suspects == {run}
            return Victim(at_fault and sure, most[run])

    def _used_bytes(self) -> int:
        room = os.fstatvfs(self._directory_fd)
        return (room.f_blocks - room.f_bavail) * room.f_frsize

    def ended(self, run: Hashable) -> None:
        """Note that a run is over and no longer watched; its files may still be there."""
        with self._lock:
            self._forget(run)

    def removed(self, run: Hashable) -> None:
        """Note that the space taken by a run is free again."""
        with self._lock:
            self._forget(run)
            if self._ending is run:
                self._ending = None

    def _forget(self, run: Hashable) -> None:
        self._taken_bytes.pop(run, None)
        self._suspects.discard(run)
