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

PACE = 1 << 16  # bytes a second
# However fast a client has been, it is this far ahead at most: a burst must not buy a long silence.
_MOST_AHEAD_S = 2.0

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
