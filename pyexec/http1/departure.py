"""Whether the client of a connection has gone while its request is answered, when nothing is read from it."""

from __future__ import annotations

import select
import socket

_BROKEN = select.POLLERR | select.POLLHUP  # always reported: a reset, or both directions closed


class Departure:
    """The `Presence` of a client.

    An end of its stream means that it has gone, unless unread bytes precede it: then it has sent another request and
    closed only its own direction. A client that does so after one request and waits isn't served.

    Attributes:
        events: what to poll the socket for.
    """

    def __init__(self, sock: socket.socket, unread: bool) -> None:
        """Take the connection; `unread` says that bytes of another request have been read from it already."""
        self._sock = sock
        self.events = 0 if unread else select.POLLRDHUP

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return self._sock.fileno()

    def is_gone(self, found: int) -> bool:
        """Return whether the client has gone; if not, its end alone isn't polled for any more."""
        if found & _BROKEN:
            return True
        if not self.events & found:
            return False
        try:
            if not self._sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT):
                return True
        except OSError as error:
            if not isinstance(error, BlockingIOError):
                return True
        self.events = 0
        return False
