"""What a client sends, read with deadlines: a head, a body of known length, a body in chunks.

A head has one deadline for the whole of it. A body's is extended by what has come: a line may be slow, but a client
that sends a byte now and then can't hold a thread for ever.
"""

from __future__ import annotations

import re
import socket
import time

from pyexec import units
from pyexec.errors import HeadersTooLarge, PayloadTooLarge, RequestTimeout, ValidationError
from pyexec.http1.chunks import LONGEST_LINE, Chunks
from pyexec.http1.connection import READING, Connection, Disconnected
from pyexec.http1.memory import Body
from pyexec.http1.message import LONGEST_HEAD
from pyexec.http1.pace import Deadline

_AT_ONCE = 1 << 16

_TLS = 0x16  # the first byte of a TLS handshake
_TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_NO_HEAD = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|(?<!\r)\n|\r[^\n]")


class Reader:
    """Reads from one connection; keeps what came early for the next read."""

    def __init__(self, connection: Connection) -> None:
        """Start with nothing read."""
        self._connection = connection
        self._socket = connection.sock
        self._buffer = bytearray()

    def _receive(self, most: int, deadline: float) -> bytes:
        left = deadline - time.monotonic()
        if left <= 0:
            raise socket.timeout("deadline")
        self._socket.settimeout(left)
        return self._socket.recv(most)

    @property
    def has_more(self) -> bool:
        """Whether bytes of another request have been read already."""
        return bool(self._buffer)

    def await_request(self, idle_s: float) -> bool:
        """Return whether the first byte of another request came in time; False as well if the client closed."""
        if not self._buffer:
            try:
                self._buffer += self._receive(_AT_ONCE, time.monotonic() + idle_s)
            except OSError:
                return False
        self._connection.begin(READING)
        return bool(self._buffer)

    def read_head(self, timeout_s: float) -> bytes:
        """Return the bytes of a head, its empty line included; empty lines before it are skipped.

        Raises:
            RequestTimeout, HeadersTooLarge. ValidationError: what has come can't become a head, whatever follows.
            Disconnected: the client closed.
        """
        deadline = time.monotonic() + timeout_s
        skipped = 0
        searched = 0
        while True:
            while self._buffer.startswith(b"\r\n") and skipped < LONGEST_HEAD:
                del self._buffer[:2]
                skipped += 2
                searched = 0
            if skipped >= LONGEST_HEAD:
                break
            end = self._buffer.find(b"\r\n\r\n", max(0, searched - 3))
            if end >= 0:
                head = bytes(self._buffer[: end + 4])
                del self._buffer[: end + 4]
                if len(head) > LONGEST_HEAD:
                    break
                return head
            self._check_beginning(searched)
            if len(self._buffer) > LONGEST_HEAD:
                break
            searched = len(self._buffer)
            try:
                self._fill(deadline)
            except socket.timeout:
                raise RequestTimeout(f"The header did not arrive within {units.seconds(timeout_s)}.") from None
        raise HeadersTooLarge(f"The header is larger than {units.size(LONGEST_HEAD)}.")

    def _check_beginning(self, searched: int) -> None:
        """Raise ValidationError if half a head can't become one; it would hold its thread until the deadline."""
        if self._buffer and self._buffer[0] == _TLS:
            raise ValidationError("This port speaks http://, not https://.")
        if self._buffer and self._buffer[0] not in _TOKEN and self._buffer != b"\r":
            raise ValidationError("No request begins with this byte.")
        if _NO_HEAD.search(self._buffer, max(0, searched - 1)):
            raise ValidationError("The header has a control character, or a line that does not end in CR LF.")

    def _fill(self, deadline: float) -> None:
        """Put what comes into the buffer. Raises socket.timeout, Disconnected."""
        try:
            data = self._receive(_AT_ONCE, deadline)
        except socket.timeout:
            raise
        except OSError as error:
            raise Disconnected(str(error)) from error
        if not data:
            raise Disconnected("the client closed")
        self._connection.moved(len(data))
        self._buffer += data

    def read_body(self, length: int, timeout_s: float, body: Body) -> None:
        """Read a body of this length.

        Raises:
            RequestTimeout. Disconnected: the client closed before the end. ServerBusy: the body had to make room.
        """
        deadline = Deadline(timeout_s)
        self._read_into(body, length, deadline)
        body.complete()

    def read_chunks(self, most: int, timeout_s: float, body: Body) -> None:
        """Read a body that comes in chunks.

        Raises:
            ValidationError: the chunks are malformed. PayloadTooLarge: more than `most` bytes. RequestTimeout,
            Disconnected, ServerBusy: as for `read_body`.
        """
        deadline, chunks = Deadline(timeout_s), Chunks()
        while True:
            contents, size = chunks.whole(self._buffer)
            del self._buffer[:size]
            _check_size(body.size + len(contents), most)
            _put(body, contents)
            size = chunks.size(self._line(body, deadline))
            if not size:
                break
            _check_size(body.size + size, most)
            self._read_into(body, size, deadline)
            if self._line(body, deadline) != b"\r\n":
                raise ValidationError("A chunk of the body is longer than its size.")
        while not chunks.is_end(self._line(body, deadline)):
            pass
        body.complete()

    def _line(self, body: Body, deadline: Deadline) -> bytes:
        """Return the next line of a chunked body's framing, CR LF included."""
        searched = 0
        while True:
            end = self._buffer.find(b"\n", searched)
            if end >= 0:
                line = bytes(self._buffer[: end + 1])
                del self._buffer[: end + 1]
                return line
            searched = len(self._buffer)
            if searched > LONGEST_LINE:
                raise ValidationError("A line between the chunks of the body is too long.")
            try:
                self._fill(time.monotonic() + deadline.left_s())
            except socket.timeout:
                body.check()
            deadline.moved(len(self._buffer) - searched)

    def _read_into(self, body: Body, count: int, deadline: Deadline) -> None:
        early = self._buffer[:count]
        del self._buffer[: len(early)]
        _put(body, early)
        count -= len(early)
        while count:
            try:
                self._socket.settimeout(deadline.left_s())
                size = self._socket.recv_into(body.room(count))
            except socket.timeout:
                body.check()
                continue
            except OSError as error:
                raise Disconnected(str(error)) from error
            if not size:
                body.check()  # the buffer to fill may just have been taken away
                raise Disconnected("the client closed in the middle of its body")
            deadline.moved(size)
            self._connection.moved(size)
            body.filled(size)
            count -= size


def _check_size(size: int, most: int) -> None:
    if size > most:
        raise PayloadTooLarge(f"The body is too large; the limit is {units.size(most)}.")


def _put(body: Body, data: bytearray) -> None:
    offset = 0
    while offset < len(data):
        room = body.room(len(data) - offset)
        size = len(room)
        room[:] = data[offset : offset + size]
        del room  # or the piece could not be cut to its length
        body.filled(size)
        offset += size
