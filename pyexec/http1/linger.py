"""Connections that have had their last answer while their clients still send: read on, so that the answer arrives.

Closing with unread bytes would reset the connection and throw the answer away (RFC 9112, 9.6). One thread reads from
all of them into one buffer, so that a refused upload holds no memory and no thread of its own.
"""

from __future__ import annotations

import _thread
import collections
import select
import socket
import threading
import time
from typing import Callable

LONGEST_S = 10.0
MOST_BYTES = 64 << 20
_MOST_SPARE = 64
_SCRATCH = 1 << 18
_LOOK_S = 0.05  # how long a new one may have to wait


class _Lingering:
    """One connection, until when, and how much of it has been thrown away."""

    def __init__(self, sock: socket.socket, close: Callable[[], None]) -> None:
        self.sock, self.close = sock, close
        self.until, self.taken = time.monotonic() + LONGEST_S, 0


class Lingerer:
    """Reads from connections until their clients have finished, sent too much or taken too long; then closes them."""

    def __init__(self) -> None:
        """Start with none, and no thread."""
        self._lock = threading.Lock()
        self._new: list[_Lingering] = []
        self._spare: collections.deque[socket.socket] = collections.deque()
        self._running = False
        self._scratch = bytearray(_SCRATCH)

    def take(self, sock: socket.socket, close: Callable[[], None]) -> None:
        """Take over a connection; `close` is called exactly once, at its end."""
        try:
            sock.shutdown(socket.SHUT_WR)
            sock.setblocking(False)
            with self._lock:
                starts, self._running = not self._running, True
                self._new.append(_Lingering(sock, close))
                if starts:
                    _thread.start_new_thread(self._live, ())
        except OSError:
            close()  # the client is gone
        except (RuntimeError, MemoryError):  # no further thread: closing is all that is left
            with self._lock:
                self._running = False
                left, self._new = self._new, []
            for each in left:
                each.close()

    def take_spare(self, sock: socket.socket) -> None:
        """Take a connection that was refused; when there are too many of these, the oldest is closed."""
        with self._lock:
            self._spare.append(sock)
            oldest = self._spare.popleft() if len(self._spare) > _MOST_SPARE else None
        if oldest is not None:
            self._cut(oldest)
        self.take(sock, lambda: self._close_spare(sock))

    @staticmethod
    def _cut(sock: socket.socket) -> None:
        try:
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it has closed meanwhile

    def _close_spare(self, sock: socket.socket) -> None:
        with self._lock:
            if sock in self._spare:
                self._spare.remove(sock)
        sock.close()

    def _live(self) -> None:
        """Be the thread until there is nothing left to read."""
        here: dict[int, _Lingering] = {}
        poll = select.poll()
        more = True
        while more:
            try:
                more = self._turn(here, poll)
            except MemoryError:  # what is short now may not be in a moment
                time.sleep(_LOOK_S)

    def _turn(self, here: dict[int, _Lingering], poll: select.poll) -> bool:
        """Read once from each that has sent something; return whether any is left."""
        with self._lock:
            for new in self._new:
                here[new.sock.fileno()] = new
                poll.register(new.sock, select.POLLIN)
            self._new.clear()
            if not here:
                self._running = False
                return False
        ready = {fd for fd, _ in poll.poll(1000 * _LOOK_S)}
        now = time.monotonic()
        for fd, each in list(here.items()):
            if (fd in ready and not self._read(each)) or now >= each.until:
                poll.unregister(fd)
                del here[fd]
                each.close()
        return True

    def _read(self, each: _Lingering) -> bool:
        """Throw away what has come; return whether more may."""
        try:
            count = each.sock.recv_into(self._scratch)
        except BlockingIOError:
            return True
        except OSError:
            return False
        each.taken += count
        return count > 0 and each.taken < MOST_BYTES
