"""One client's socket, with deadlines: a head, a body, an answer.

A head has one deadline for the whole of it. Bodies and answers have theirs put off by what has moved: a line may be
slow, but a client that sends or takes a byte now and then can't hold a thread for ever.
"""

from __future__ import annotations

import contextlib
import re
import socket
import time
from typing import Iterable, Iterator, List, Sequence, Union

from pyexec.errors import HeadersTooLarge, PayloadTooLarge, RequestTimeout, ValidationError
from pyexec.http1.chunks import LONGEST_LINE, Chunks
from pyexec.http1.memory import Body
from pyexec.http1.message import LONGEST_HEAD
from pyexec.http1.pace import PACE, READING, WRITING, Deadline, Place

_CHUNK = 1 << 16
_MOST_AT_ONCE = 1 << 20
_MOST_PARTS = 64  # of one write; far below IOV_MAX
# With more than this unsent, the kernel takes no more of a large answer: else it would take megabytes at once, then
# nothing for as long as a slow line needs for these, as if the client had stopped reading.
_UNSENT = 1 << 17

_TLS = 0x16  # the first byte of a TLS handshake
_TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_NO_HEAD = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|(?<!\r)\n|\r[^\n]")

Buffer = Union[bytes, memoryview]


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

    def __init__(self, place: Place) -> None:
        """Take a connected socket; switches Nagle's algorithm off, which would hold back answers by 40 ms."""
        self._place = place
        self._socket = sock = place.sock
        self._buffer = bytearray()
        # Of all answers on this connection together: else each of many requests sent at once would have a deadline of
        # its own.
        self._sent, self._waited_s = 0, 0.0
        self._is_tcp, self._is_limited = sock.family in (socket.AF_INET, socket.AF_INET6), False
        if self._is_tcp:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _receive(self, most: int, deadline: float) -> bytes:
        left = deadline - time.monotonic()
        if left <= 0:
            raise socket.timeout("deadline")
        self._socket.settimeout(left)
        return self._socket.recv(most)

    def await_request(self, idle_s: float) -> bool:
        """Return whether the first byte of another request came in time; False as well if the client closed."""
        if not self._buffer:
            try:
                self._buffer += self._receive(_CHUNK, time.monotonic() + idle_s)
            except OSError:
                return False
        self._place.begin(READING)
        return bool(self._buffer)

    def read_head(self, timeout_s: float) -> bytes:
        """Return the bytes of a head, its empty line included; empty lines before it are passed over.

        Raises:
            RequestTimeout, HeadersTooLarge. ValidationError: what has come can't become a head, whatever follows.
            Disconnected: the client closed.
        """
        deadline = time.monotonic() + timeout_s
        skipped = 0
        looked = 0
        while True:
            while self._buffer.startswith(b"\r\n") and skipped < LONGEST_HEAD:
                del self._buffer[:2]
                skipped += 2
                looked = 0
            if skipped >= LONGEST_HEAD:
                break
            end = self._buffer.find(b"\r\n\r\n", max(0, looked - 3))
            if end >= 0:
                head = bytes(self._buffer[: end + 4])
                del self._buffer[: end + 4]
                if len(head) > LONGEST_HEAD:
                    break
                return head
            self._check_beginning(looked)
            if len(self._buffer) > LONGEST_HEAD:
                break
            looked = len(self._buffer)
            try:
                self._fill(deadline)
            except socket.timeout:
                raise RequestTimeout("The header did not arrive within %g seconds." % timeout_s) from None
        raise HeadersTooLarge("The header has more than %d bytes." % LONGEST_HEAD)

    def _check_beginning(self, looked: int) -> None:
        """Raise ValidationError if half a head can't become one; it would hold a place until its deadline."""
        if self._buffer and self._buffer[0] == _TLS:
            raise ValidationError("This port speaks http://, not https://.")
        if self._buffer and self._buffer[0] not in _TOKEN and self._buffer != b"\r":
            raise ValidationError("A request does not begin with this byte.")
        if _NO_HEAD.search(self._buffer, max(0, looked - 1)):
            raise ValidationError("The header has a control character, or a line that does not end in CR LF.")

    def _fill(self, deadline: float) -> None:
        """Put what comes into the buffer. Raises socket.timeout, Disconnected."""
        try:
            data = self._receive(_CHUNK, deadline)
        except socket.timeout:
            raise
        except OSError as error:
            raise Disconnected(str(error)) from error
        if not data:
            raise Disconnected("the client closed")
        self._place.moved(len(data))
        self._buffer += data

    def read_body(self, length: int, timeout_s: float, body: Body) -> bytes:
        """Return a body of this length.

        Raises:
            RequestTimeout. Disconnected: the client closed before the end. ServerBusy: it had to make room.
        """
        until = Deadline(timeout_s)
        self._read_into(body, length, until)
        return body.whole()

    def read_chunks(self, most: int, timeout_s: float, body: Body) -> bytes:
        """Return a body that comes in chunks.

        Raises:
            ValidationError: the chunks are malformed. PayloadTooLarge: more than `most` bytes. RequestTimeout,
            Disconnected, ServerBusy: as for `read_body`.
        """
        until, chunks = Deadline(timeout_s), Chunks()
        while True:
            contents, size = chunks.whole(self._buffer)
            del self._buffer[:size]
            _check_size(body.size + len(contents), most)
            _put(body, contents)
            size = chunks.size(self._line(body, until))
            if not size:
                break
            _check_size(body.size + size, most)
            self._read_into(body, size, until)
            if self._line(body, until) != b"\r\n":
                raise ValidationError("A chunk of the body is longer than its size.")
        while not chunks.is_end(self._line(body, until)):
            pass
        return body.whole()

    def _line(self, body: Body, until: Deadline) -> bytes:
        """Return the next line of a chunked body's framing, CR LF included."""
        looked = 0
        while True:
            end = self._buffer.find(b"\n", looked)
            if end >= 0:
                line = bytes(self._buffer[: end + 1])
                del self._buffer[: end + 1]
                return line
            looked = len(self._buffer)
            if looked > LONGEST_LINE:
                raise ValidationError("A line between the chunks of the body is too long.")
            try:
                self._fill(time.monotonic() + until.left_s())
            except socket.timeout:
                body.check()
            until.moved(len(self._buffer) - looked)

    def _read_into(self, body: Body, count: int, until: Deadline) -> None:
        early = self._buffer[:count]
        del self._buffer[: len(early)]
        _put(body, early)
        count -= len(early)
        while count:
            try:
                self._socket.settimeout(until.left_s())
                size = self._socket.recv_into(body.room(count))
            except socket.timeout:
                body.check()
                continue
            except OSError as error:
                raise Disconnected(str(error)) from error
            if not size:
                body.check()  # what was to be filled may just have been taken away
                raise Disconnected("the client closed in the middle of its body")
            until.moved(size)
            self._place.moved(size)
            body.filled(size)
            count -= size

    def write_at_once(self, parts: Sequence[bytes], size: int) -> List[memoryview]:
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
        self._place.moved(sent)
        return _unsent(waiting, sent)

    def write(self, parts: Iterable[Buffer], timeout_s: float) -> None:
        """Send all parts, each as it is asked for. Raises Disconnected."""
        before = self._place.state
        self._place.begin(WRITING)
        try:
            for batch in _batches(parts):
                while batch:
                    batch = _unsent(batch, self._send(batch, timeout_s))
        except OSError as error:
            raise Disconnected(str(error)) from error
        self._place.begin(before)

    def _limit_unsent(self, size: int) -> None:
        if size > _UNSENT and self._is_tcp and not self._is_limited:
            self._is_limited = True
            with contextlib.suppress(OSError):  # gVisor has none; answers get there without
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT)

    def _send(self, parts: List[memoryview], timeout_s: float) -> int:
        # No longer than that without a byte either, however fast the client has been.
        left = min(timeout_s, timeout_s + self._sent / PACE - self._waited_s)
        if left <= 0:
            raise socket.timeout("the client does not take its answers")
        self._socket.settimeout(left)
        started = time.monotonic()
        sent = self._socket.sendmsg(parts)
        self._waited_s += time.monotonic() - started
        self._sent += sent
        self._place.moved(sent)
        return sent


def _check_size(size: int, most: int) -> None:
    if size > most:
        raise PayloadTooLarge("The body has more than %d bytes, which is the most that is taken." % most)


def _put(body: Body, data: bytearray) -> None:
    place = 0
    while place < len(data):
        room = body.room(len(data) - place)
        size = len(room)
        room[:] = data[place : place + size]
        del room  # or the piece could not be cut to its length
        body.filled(size)
        place += size


def _batches(parts: Iterable[Buffer]) -> Iterator[List[memoryview]]:
    """Yield the parts, as many at a time as one write takes; those that are made on the way are not made ahead."""
    batch: List[memoryview] = []
    size = 0
    for part in parts:
        if len(part):
            batch.append(memoryview(part))
            size += len(part)
        if len(batch) == _MOST_PARTS or size >= _MOST_AT_ONCE:
            yield batch
            batch, size = [], 0
    yield batch
