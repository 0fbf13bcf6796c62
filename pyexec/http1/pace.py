"""How well a connection gets on: the one measure behind deadlines, and behind the choice of who makes room.

Each connection has a `Place`. Bytes that move put its `due` off by the time that they may take at the slowest pace, so
that a client which sends a byte now and then falls behind as surely as one that is silent, and one that keeps the pace
stays ahead of both however many they are.
"""

from __future__ import annotations

import contextlib
import socket
import time
from typing import Optional

from pyexec.errors import RequestTimeout

PACE = 1 << 16  # bytes a second
# However fast a client has been, it is this far ahead at most: a burst must not buy a long silence.
_MOST_AHEAD_S = 2.0
_LOOK_S = 1.0  # how soon a body that had to make room is told so

# What a connection is doing. RUNNING includes all that happens between a request's last byte and its answer.
IDLE, LINGERING, READING, WRITING, RUNNING = "idle", "lingering", "reading", "writing", "running"


class Place:
    """One open connection: its socket, what it is doing, and how far ahead of the slowest pace it is."""

    __slots__ = ("accepted_s", "due", "evicted", "peer", "sock", "state")

    def __init__(self, sock: socket.socket, peer: Optional[str] = None) -> None:
        """Start idle; `peer` is whom its connections count against, None if they aren't counted."""
        self.sock, self.peer = sock, peer
        self.state, self.evicted = IDLE, False
        self.due = time.monotonic()
        self.accepted_s: Optional[float] = self.due  # until its first request came

    def begin(self, state: str) -> None:
        """Start to read or write something, or to wait."""
        self.state = state
        self.due = max(self.due, time.monotonic())

    def moved(self, count: int) -> None:
        """Note that bytes came or went."""
        self.due = min(self.due + count / PACE, time.monotonic() + _MOST_AHEAD_S)

    def cut(self) -> None:
        """Shut the connection down; the thread that waits for it wakes up and closes it."""
        with contextlib.suppress(OSError):  # its client has just closed it
            self.sock.shutdown(socket.SHUT_RDWR)


class Deadline:
    """When a body is late: after some seconds without a byte, or over all at less than the slowest pace after these."""

    def __init__(self, timeout_s: float) -> None:
        """Start now."""
        self._timeout_s = timeout_s
        self._all = self._silence = time.monotonic() + timeout_s

    def moved(self, count: int) -> None:
        """Put it off by what has come."""
        if count:
            self._all += count / PACE
            self._silence = time.monotonic() + self._timeout_s

    def left_s(self) -> float:
        """Return how long to wait before looking whether the body has had to make room. Raises RequestTimeout."""
        left = min(self._all, self._silence) - time.monotonic()
        if left <= 0:
            text = "The body did not arrive within %g seconds, and one more for each %d bytes of it."
            raise RequestTimeout(text % (self._timeout_s, PACE))
        return min(left, _LOOK_S)
