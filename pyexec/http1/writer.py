"""What a client is sent, written with deadlines that are extended by what it takes."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import Iterable, Iterator, Sequence, Union

from pyexec.http1.connection import WRITING, Connection, Disconnected
from pyexec.http1.pace import PACE

_MOST_AT_ONCE = 1 << 20
_MOST_PARTS = 64  # of one write; far below IOV_MAX
# With more than this unsent, the kernel takes no more of a large answer. Otherwise it would take megabytes at once,
# then nothing for as long as a slow line needs for these, as if the client had stopped reading.
_UNSENT = 1 << 17

Buffer = Union[bytes, memoryview]


class Writer:
    """Writes the answers of one connection."""

    def __init__(self, connection: Connection) -> None:
        """Switch Nagle's algorithm off, which would hold answers back by 40 ms."""
        self._connection = connection
        self._socket = sock = connection.sock
        # Of all answers on this connection together, or each of many requests sent at once would have a deadline of
        # its own.
        self._sent, self._waited_s = 0, 0.0
        self._is_tcp, self._is_limited = sock.family in (socket.AF_INET, socket.AF_INET6), False
        if self._is_tcp:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def write_at_once(self, parts: Sequence[bytes], size: int) -> list[memoryview]:
        """Send what the kernel takes in one write without waiting; return the rest. Raises Disconnected.

        Args:
            size: of the whole answer, of which these parts may be the beginning.
        """
        waiting = [memoryview(part) for part in parts if part]
        try:
            self._limit_unsent(size)
            self._socket.settimeout(0)
            sent = self._socket.sendmsg(waiting[:_MOST_PARTS])
        except BlockingIOError:
            return waiting
        except OSError as error:
            raise Disconnected(str(error)) from error
        self._sent += sent
        self._connection.moved(sent)
        return _without(waiting, sent)

    def write(self, parts: Iterable[Buffer], timeout_s: float) -> None:
        """Send all parts, each as it is asked for. Raises Disconnected."""
        before = self._connection.state
        self._connection.begin(WRITING)
        try:
            for batch in _batches(parts):
                while batch:
                    batch = _without(batch, self._send(batch, timeout_s))
        except OSError as error:
            raise Disconnected(str(error)) from error
        self._connection.begin(before)

    def _limit_unsent(self, size: int) -> None:
        if size > _UNSENT and self._is_tcp and not self._is_limited:
            self._is_limited = True
            with contextlib.suppress(OSError):  # gVisor lacks it; answers get there without
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT)

    def _send(self, parts: list[memoryview], timeout_s: float) -> int:
        # However fast the client has been, not a byte in `timeout_s` is too slow.
        left = min(timeout_s, timeout_s + self._sent / PACE - self._waited_s)
        if left <= 0:
            raise socket.timeout("the client does not take its answers")
        self._socket.settimeout(left)
        started = time.monotonic()
        sent = self._socket.sendmsg(parts)
        self._waited_s += time.monotonic() - started
        self._sent += sent
        self._connection.moved(sent)
        return sent


def _without(parts: list[memoryview], sent: int) -> list[memoryview]:
    """Return the parts less the bytes that have been sent."""
    for index, part in enumerate(parts):
        if sent < len(part):
            return [part[sent:], *parts[index + 1 :]]
        sent -= len(part)
    return []


def _batches(parts: Iterable[Buffer]) -> Iterator[list[memoryview]]:
    """Yield the parts, as many at a time as one write takes; parts that are made on demand are not made ahead."""
    batch: list[memoryview] = []
    size = 0
    for part in parts:
        if len(part):
            batch.append(memoryview(part))
            size += len(part)
        if len(batch) == _MOST_PARTS or size >= _MOST_AT_ONCE:
            yield batch
            batch, size = [], 0
    yield batch
