"""Whether a client is still there while its request waits or is run: asked of the kernel, without reading anything.

For a wait of your own, poll `Presence.fileno()` for POLLRDHUP and ask `gone()` when it fires. If the answer is no,
bytes that nobody has read precede the end of the stream; then only POLLHUP and POLLERR can still change the answer.
"""

from __future__ import annotations

import select
import socket
from typing import Callable

_BROKEN = select.POLLERR | select.POLLHUP | select.POLLNVAL


def has_gone(sock: socket.socket) -> bool:
    """Return whether the client has ended its stream, with no unread byte before the end, or broken the connection.

    Never waits and reads nothing. A client that only shuts down its sending side can't be told from one that left.
    """
    poll = select.poll()
    poll.register(sock, select.POLLIN | select.POLLRDHUP)
    events = poll.poll(0)
    if not events:
        return False
    if events[0][1] & _BROKEN:
        return True
    try:
        return not sock.recv(1, socket.MSG_PEEK)  # there is something to read, so this doesn't wait
    except OSError:
        return True


class Presence:
    """The client of one request, as far as it can be told whether it still waits for the answer."""

    def __init__(self, sock: socket.socket, has_unread: Callable[[], bool]) -> None:
        """Take the connection, and what says whether bytes of a further request have been received already."""
        self._sock, self._has_unread = sock, has_unread

    def fileno(self) -> int:
        """Return the connection's descriptor."""
        return self._sock.fileno()

    def gone(self) -> bool:
        """Return whether nobody waits for the answer any more; see `has_gone`."""
        return not self._has_unread() and has_gone(self._sock)
