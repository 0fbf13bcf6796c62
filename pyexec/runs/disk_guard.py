"""The guard of a disk that runs share with everything else: when it is nearly full, whoever has taken most is ended.

Only where no tmpfs of a run's own can be mounted. A run's own bound is the watch's business; what this is for is what
no bound of a run counts: several runs at once, files that are deleted and still open, and a disk that was nearly full
before. Thread-safe.
"""

from __future__ import annotations

import os
import threading
from typing import Hashable

_LEAST_FREE_BYTES = 1 << 30
_LEAST_FREE_PART = 10


class Victim:
    """A run that the guard ends: whether that is its own fault, and how much it had taken."""

    def __init__(self, at_fault: bool, taken_bytes: int) -> None:
        self.at_fault, self.taken_bytes = at_fault, taken_bytes


class Guard:
    """Looks at the free space of one disk, and knows what each run on it has taken."""

    def __init__(self, directory_fd: int) -> None:
        """Guard the disk that an open directory is on."""
        self._directory_fd = directory_fd
        self._lock = threading.Lock()
        self._taken_bytes: dict[Hashable, int] = {}
        self._ending: Hashable | None = None
        self._someone_was_at_fault = False

    def short(self) -> bool:
        """Return whether less is free than the smaller of a tenth and 1 GiB. Raises OSError."""
        room = os.fstatvfs(self._directory_fd)
        size_bytes, free_bytes = room.f_blocks * room.f_frsize, room.f_bavail * room.f_frsize
        return free_bytes < min(size_bytes // _LEAST_FREE_PART, _LEAST_FREE_BYTES)

    def look(self, run: Hashable, taken_bytes: int) -> Victim | None:
        """Note what a run has taken, and return its sentence if it is the one to be ended now. Raises OSError.

        One at a time: the next is chosen when what the last one took is free again. The first one since the disk was
        last well is at fault; whoever follows had less than it and is ended for no fault of its own.
        """
        with self._lock:
            self._taken_bytes[run] = taken_bytes
            # Asked with the lock held: what was true before the last one's directory went is no reason to end another.
            if not self.short():
                self._someone_was_at_fault = False
                return None
            if self._ending is not None or taken_bytes < max(self._taken_bytes.values()):
                return None
            self._ending = run
            at_fault, self._someone_was_at_fault = not self._someone_was_at_fault, True
            return Victim(at_fault, taken_bytes)

    def ended(self, run: Hashable) -> None:
        """Note that a run is over and nobody looks at it any more; what it took may still be there."""
        with self._lock:
            self._taken_bytes.pop(run, None)

    def removed(self, run: Hashable) -> None:
        """Note that what a run took is free again."""
        with self._lock:
            self._taken_bytes.pop(run, None)
            if self._ending is run:
                self._ending = None
