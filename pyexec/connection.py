"""One client's socket, with deadlines: a head, a body of known length, an answer in one write.

Each step has one deadline for the whole of it, so that a client that sends or takes a byte now and then can't hold a
thread for ever.
"""

from __future__ import annotations

import socket
import time
from typing import Callable, List, Sequence, Union

from pyexec.errors import HeadersTooLarge, RequestTimeout
from pyexec.http1 import LONGEST_HEAD

_CHUNK = 1 << 16
_PIECE = 1 << 20
_MOST_PARTS = 64  # of one write; far below IOV_MAX
_LINGER_S = 2.0
_LINGER_BYTES = 4 << 20


class Disconnected(Exception):
    """The client is gone, or took too long in a place where nothing can be answered any more."""


def _unsent(parts: List[memoryview], sent: int) -> List[memoryview]:
    for place, part in enumerate(parts):
        if sent < len(part):
            return [part[sent:]] + parts[place + 1 :]
        sent -= len(part)
    return []


class Connection:
    """Reads and writes; keeps what came early for the next read."""

    def __init__(self, sock: socket.socket) -> None:
        """Take a connected socket; switches Nagle's algorithm off, which would hold back answers by 40 ms."""
        self._socket = sock
        self._buffer = bytearray()
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _receive(self, most: int, deadline: float) -> bytes:
        left = deadline - time.monotonic()
        if left <= 0:
            raise socket.timeout("deadline")
        self._socket.settimeout(left)
        return self._socket.recv(most)

    def await_request(self, idle_s: float) -> bool:
        """Return whether the first byte of another request came in time; False as well if the client closed."""
        if self._buffer:
            return True
        try:
            data = self._receive(_CHUNK, time.monotonic() + idle_s)
        except OSError:
            return False
        self._buffer += data
        return bool(data)

    def read_head(self, timeout_s: float) -> bytes:
        """Return the bytes of a head, its empty line included; empty lines before it are passed over.

        Raises:
            RequestTimeout, HeadersTooLarge. Disconnected: the client closed.
        """
        deadline = time.monotonic() + timeout_s
        skipped = 0
        while True:
            while self._buffer.startswith(b"\r\n") and skipped < LONGEST_HEAD:
                del self._buffer[:2]
                skipped += 2
            if skipped >= LONGEST_HEAD:
                break
            end = self._buffer.find(b"\r\n\r\n")
            if end >= 0:
                head = bytes(self._buffer[: end + 4])
                del self._buffer[: end + 4]
                if len(head) > LONGEST_HEAD:
                    break
                return head
            if len(self._buffer) > LONGEST_HEAD:
                break
            self._fill(_CHUNK, deadline, "The header did not arrive within %g seconds." % timeout_s)
        raise HeadersTooLarge("The header has more than %d bytes." % LONGEST_HEAD)

    def _fill(self, most: int, deadline: float, late: str) -> None:
        try:
            data = self._receive(most, deadline)
        except socket.timeout:
            raise RequestTimeout(late) from None
        except OSError as error:
            raise Disconnected(str(error)) from error
        if not data:
            raise Disconnected("the client closed")
        self._buffer += data

    def read_body(self, length: int, timeout_s: float, take: Callable[[int], None]) -> bytes:
        """Return a body of this length.

        Args:
            take: called with the size of each piece of memory before it is filled; may raise to refuse it.

        Raises:
            RequestTimeout. Disconnected: the client closed before the end. Whatever `take` raises.
        """
        deadline = time.monotonic() + timeout_s
        pieces: List[bytearray] = []
        while length:
            size = min(length, _PIECE)
            take(size)
            pieces.append(self._read_piece(size, deadline, timeout_s))
            length -= size
        return b"".join(pieces)

    def _read_piece(self, size: int, deadline: float, timeout_s: float) -> bytearray:
        piece = bytearray(size)
        have = min(size, len(self._buffer))
        piece[:have] = self._buffer[:have]
        del self._buffer[:have]
        view = memoryview(piece)
        while have < size:
            left = deadline - time.monotonic()
            try:
                if left <= 0:
                    raise socket.timeout("deadline")
                self._socket.settimeout(left)
                count = self._socket.recv_into(view[have:])
            except socket.timeout:
                raise RequestTimeout("The body did not arrive within %g seconds." % timeout_s) from None
            except OSError as error:
                raise Disconnected(str(error)) from error
            if not count:
                raise Disconnected("the client closed in the middle of its body")
            have += count
        return piece

    def write_at_once(self, parts: Sequence[bytes]) -> List[memoryview]:
        """Send what the kernel takes in one write without waiting; return the rest. Raises Disconnected."""
        waiting = [memoryview(part) for part in parts if part]
        try:
            self._socket.settimeout(0)
            return _unsent(waiting, self._socket.sendmsg(waiting[:_MOST_PARTS]))
        except BlockingIOError:
            return waiting
        except OSError as error:
            raise Disconnected(str(error)) from error

    def write(self, parts: Sequence[Union[bytes, memoryview]], timeout_s: float) -> None:
        """Send all parts. Raises Disconnected."""
        deadline = time.monotonic() + timeout_s
        waiting = [memoryview(part) for part in parts if part]
        try:
            while waiting:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise socket.timeout("the client does not take its answer")
                self._socket.settimeout(left)
                waiting = _unsent(waiting, self._socket.sendmsg(waiting[:_MOST_PARTS]))
        except OSError as error:
            raise Disconnected(str(error)) from error

    def linger(self) -> None:
        """Take what the client still sends, for a short while, so that it gets to read our refusal.

        Closing with unread bytes would reset the connection and throw the answer away (RFC 9112, 9.6).
        """
        deadline = time.monotonic() + _LINGER_S
        taken = 0
        try:
            self._socket.shutdown(socket.SHUT_WR)
            while taken < _LINGER_BYTES:
                data = self._receive(_CHUNK, deadline)
                if not data:
                    return
                taken += len(data)
        except OSError:
            return  # the client is gone or dawdles; there was nothing to wait for
