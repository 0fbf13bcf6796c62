"""The slowest pace at which a client may send or take bytes, and the deadline of a body that follows from it."""

from __future__ import annotations

import time

from pyexec import units
from pyexec.errors import RequestTimeout

PACE = 1 << 16  # bytes a second
_LOOK_S = 1.0  # how soon the thread of a body that had to make room notices


class Deadline:
    """When a body is late: after some seconds of silence, or once it has been slower than the pace after these."""

    def __init__(self, timeout_s: float) -> None:
        """Start now."""
        self._timeout_s = timeout_s
        self._all = self._silence = time.monotonic() + timeout_s

    def moved(self, count: int) -> None:
        """Extend it by what has come."""
        if count:
            self._all += count / PACE
            self._silence = time.monotonic() + self._timeout_s

    def left_s(self) -> float:
        """Return how long to wait before checking whether the body has had to make room. Raises RequestTimeout."""
        left = min(self._all, self._silence) - time.monotonic()
        if left <= 0:
            allowed = f"{units.seconds(self._timeout_s)}, plus 1 second for each {units.size(PACE)}"
            raise RequestTimeout(f"The body did not arrive in time: it may take {allowed}.")
        return min(left, _LOOK_S)
