"""Every open connection of a listening socket, and who makes room when there are too many. Never waits, but to drain.

One rule: the connection that gets on least goes. Those that only linger or idle go first, one whose request is being
run never goes.
"""

from __future__ import annotations

import collections
import select
import socket
import threading
import time
from typing import Any, Counter, Dict, Iterable, List, Optional, Tuple

from pyexec.callers import identify, parse_address
from pyexec.config import Network
from pyexec.http1.pace import IDLE, LINGERING, READING, RUNNING, WRITING, Place

_MOST_KNOWN_PEERS = 1024
_LOOK_S = 0.5


class Table:
    """The places, bounded in number, for all and for each peer. Thread-safe."""

    def __init__(self, most: int, most_of_peer: int, trusted: Tuple[Network, ...]) -> None:
        """Start empty; peers in the trusted ranges are proxies, whose connections are those of many clients."""
        self._most, self._most_of_peer, self._trusted = most, most_of_peer, trusted
        self._places: Dict[socket.socket, Place] = {}
        self._of_peer: Counter[str] = collections.Counter()
        self._known: Dict[str, Optional[str]] = {}
        self._changed = threading.Condition()

    def enter(self, sock: socket.socket, address: Any) -> Optional[Place]:
        """Return a place for a new connection, None if nobody can make room for it."""
        with self._changed:
            place = Place(sock, self._counted(str(address[0]) if address else ""))
            if place.peer is not None and self._of_peer[place.peer] >= self._most_of_peer:
                if not self._make_room(each for each in self._places.values() if each.peer == place.peer):
                    return None
            if len(self._places) >= self._most and not self._make_room(self._places.values()):
                return None
            self._places[sock] = place
            if place.peer is not None:
                self._of_peer[place.peer] += 1
            return place

    def _counted(self, peer: str) -> Optional[str]:
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

    def _make_room(self, places: Iterable[Place]) -> bool:
        place = _least(places)
        if place is None:
            return False
        self._forget(place)
        place.evicted = True
        place.cut()
        return True

    def _forget(self, place: Place) -> None:
        del self._places[place.sock]
        if place.peer is not None:
            self._of_peer[place.peer] -= 1
            if not self._of_peer[place.peer]:
                del self._of_peer[place.peer]

    def mark(self, place: Place, state: str) -> bool:
        """Note that a connection idles or that its request is run; return False if it has had to make room."""
        with self._changed:
            if place.evicted:
                return False
            if place.state != state:  # a new connection has idled since it was accepted, not since its thread came
                place.begin(state)
            self._changed.notify_all()
            return True

    def leave(self, sock: socket.socket) -> None:
        """Forget a connection, before it is closed."""
        with self._changed:
            if sock in self._places:
                self._forget(self._places[sock])
            self._changed.notify_all()

    def drain(self, timeout_s: float) -> bool:
        """End connections that idle or linger and wait for the others; return whether all have ended."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while True:
                for place in self._places.values():
                    if place.state in (IDLE, LINGERING):
                        place.cut()
                left = deadline - time.monotonic()
                if not self._places or left <= 0:
                    return not self._places
                self._changed.wait(min(_LOOK_S, left))


def _least(places: Iterable[Place]) -> Optional[Place]:
    """Return the place that gets on least, None if all are needed."""
    waiting: List[Place] = sorted((each for each in places if each.state != RUNNING), key=lambda each: each.due)
    for states in ((IDLE, LINGERING), (READING, WRITING)):
        for place in waiting:
            if place.state in states and not _is_about_to_move(place):
                return place
    return None


def _is_about_to_move(place: Place) -> bool:
    """Return whether its thread has only not come yet to what the client sent, or has made room for."""
    if place.state == LINGERING:
        return False  # what comes is thrown away
    poll = select.poll()
    # Bytes that lie unread say nothing of a connection that is being written to: its client may have sent many
    # requests and read none of the answers.
    poll.register(place.sock, select.POLLOUT if place.state == WRITING else select.POLLIN)
    return bool(poll.poll(0))
