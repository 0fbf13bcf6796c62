"""Every open connection of a listening socket, and who makes room when there are too many. Never waits, but to drain.

One rule: when it is full, the connection with the least progress goes. Those that only linger or idle go first; one
whose request is being run never goes.
"""

from __future__ import annotations

import collections
import select
import socket
import threading
import time
from typing import Any, Counter, Iterable

from pyexec.callers import identify, parse_address
from pyexec.config import Network
from pyexec.http1.connection import IDLE, LINGERING, READING, RUNNING, WRITING, Connection

_MOST_KNOWN_PEERS = 1024
_LOOK_S = 0.5


class Table:
    """The connections, bounded in number, in all and for each peer. Thread-safe."""

    def __init__(self, most: int, most_of_peer: int, trusted: tuple[Network, ...]) -> None:
        """Start empty; peers in the trusted ranges are proxies, whose connections belong to many clients."""
        self._most, self._most_of_peer, self._trusted = most, most_of_peer, trusted
        self._connections: dict[socket.socket, Connection] = {}
        self._of_peer: Counter[str] = collections.Counter()
        self._known: dict[str, str | None] = {}
        self._changed = threading.Condition()

    def enter(self, sock: socket.socket, address: Any) -> Connection | None:
        """Return a new connection's entry, None if no other can make room for it."""
        with self._changed:
            new = Connection(sock, self._counted(str(address[0]) if isinstance(address, tuple) else ""))
            if new.peer is not None and self._of_peer[new.peer] >= self._most_of_peer:
                if not self._make_room(each for each in self._connections.values() if each.peer == new.peer):
                    return None
            if len(self._connections) >= self._most and not self._make_room(self._connections.values()):
                return None
            self._connections[sock] = new
            if new.peer is not None:
                self._of_peer[new.peer] += 1
            return new

    def _counted(self, peer: str) -> str | None:
        """Return whom a peer's connections count against; None for a proxy, and for a Unix socket."""
        if peer not in self._known:
            if len(self._known) >= _MOST_KNOWN_PEERS:
                self._known.clear()
            address = parse_address(peer)
            is_proxy = address is None or any(
                address.version == network.version and address in network for network in self._trusted
            )
            self._known[peer] = None if is_proxy else identify(peer, "", ()).identity
        return self._known[peer]

    def _make_room(self, connections: Iterable[Connection]) -> bool:
        least = _least(connections)
        if least is None:
            return False
        self._forget(least)
        least.evicted = True
        least.cut()
        return True

    def _forget(self, connection: Connection) -> None:
        del self._connections[connection.sock]
        if connection.peer is not None:
            self._of_peer[connection.peer] -= 1
            if not self._of_peer[connection.peer]:
                del self._of_peer[connection.peer]

    def mark(self, connection: Connection, state: str) -> bool:
        """Note that a connection idles, lingers or that its request is run; return False if it has had to make room."""
        with self._changed:
            if connection.evicted:
                return False
            if connection.state != state:  # a new one has idled since it was accepted, not since its thread came to it
                connection.begin(state)
            self._changed.notify_all()
            return True

    def leave(self, sock: socket.socket) -> None:
        """Forget a connection, before it is closed."""
        with self._changed:
            if sock in self._connections:
                self._forget(self._connections[sock])
            self._changed.notify_all()

    def drain(self, timeout_s: float) -> bool:
        """End connections that idle or linger and wait for the others; return whether all have ended."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while True:
                for connection in self._connections.values():
                    if connection.state in (IDLE, LINGERING):
                        connection.cut()
                left = deadline - time.monotonic()
                if not self._connections or left <= 0:
                    return not self._connections
                self._changed.wait(min(_LOOK_S, left))


def _least(connections: Iterable[Connection]) -> Connection | None:
    """Return the connection with the least progress, None if all are needed."""
    waiting = sorted((each for each in connections if each.state != RUNNING), key=lambda each: each.due)
    for states in ((IDLE, LINGERING), (READING, WRITING)):
        for connection in waiting:
            if connection.state in states and not _is_about_to_move(connection):
                return connection
    return None


def _is_about_to_move(connection: Connection) -> bool:
    """Return whether its thread merely hasn't got round to what the client sent, or has made room for."""
    if connection.state == LINGERING:
        return False  # what comes is thrown away
    poll = select.poll()
    # Unread bytes say nothing about a connection that is being written to: its client may have sent many requests
    # and read none of the answers.
    poll.register(connection.sock, select.POLLOUT if connection.state == WRITING else select.POLLIN)
    return bool(poll.poll(0))
