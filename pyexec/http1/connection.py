"""One open connection: its socket, what it is doing, and its progress, which decides who makes room for others.

Bytes that move push `due` back by the time that they may take at the slowest pace. A client that sends a byte now and
then so falls behind as surely as one that is silent, and one that keeps the pace stays ahead of both, however many
they are.
"""

from __future__ import annotations

import contextlib
import socket
import time

from pyexec.http1.pace import PACE

# However fast a client has been, it is this far ahead at most: a burst must not buy a long silence.
_MOST_AHEAD_S = 2.0

# What a connection is doing. RUNNING is everything between a request's last byte and its answer.
IDLE, LINGERING, READING, WRITING, RUNNING = "idle", "lingering", "reading", "writing", "running"


class Disconnected(Exception):
    """The client is gone, or took too long at a point where nothing can be answered any more."""


class Connection:
    """The state of one connection.

    Attributes:
        peer: whom it counts against, None if it isn't counted. accepted_s: when it was accepted, until its first
            request has come. due: the moment until which it keeps the slowest pace. evicted: it had to make room.
    """

    __slots__ = ("accepted_s", "due", "evicted", "peer", "sock", "state")

    def __init__(self, sock: socket.socket, peer: str | None = None) -> None:
        """Start idle."""
        self.sock, self.peer = sock, peer
        self.state, self.evicted = IDLE, False
        self.due = time.monotonic()
        self.accepted_s: float | None = self.due

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
