"""One connection: read a request with a cap and a deadline, let `service` answer it, write once, log one line."""

from __future__ import annotations

import contextlib
import itertools
import json
import sys
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from typing import Callable, Iterator, List, Optional, Protocol, Tuple

from pyexec import __version__
from pyexec.callers import Caller
from pyexec.config import Config
from pyexec.errors import LengthRequired, PayloadTooLarge, PyexecError
from pyexec.http1.answer import Answer, Part, made_as_written
from pyexec.http1.connection import Buffer, Connection, Disconnected
from pyexec.http1.memory import BodyBudget
from pyexec.http1.message import Head, parse_head, render_head
from pyexec.http1.pace import IDLE, LINGERING, RUNNING, Place
from pyexec.http1.table import Table
from pyexec.timing import Stopwatch, server_timing

_CLOSED_BY_CLIENT = 499


Respond = Callable[[Head, bytes, str, contextlib.ExitStack], Answer]


class Application(Protocol):
    """What answers requests; it is handed in, and knows nothing of sockets."""

    config: Config

    def route(self, head: Head) -> Respond:
        """Return what answers a request, before its body is read. Raises PyexecError."""

    def refuse(self, error: PyexecError, head: Optional[Head], peer: str) -> Answer:
        """Return the answer to a request that was refused before its body was read."""

    def error(self, error: PyexecError) -> Answer:
        """Return the answer for an error."""

    def fault(self, cause: BaseException) -> PyexecError:
        """Return the error that stands for a fault of ours, once it is in the log."""

    def caller(self, head: Head, peer: str) -> Caller:
        """Return whose request this is."""

    def count(self, head: Optional[Head], answer: Answer, status: int, received: int) -> None:
        """Count an answer that went out, or that its client did not wait for."""

    def security_fields(self) -> List[Tuple[str, str]]:
        """Return the header fields that every answer carries."""


class Listener(Protocol):
    """What a handler asks of the server that it belongs to."""

    config: Config
    service: Application
    bodies: BodyBudget
    table: Table
    draining: bool


def head_and_body(service: Application, answer: Answer, close: bool, head_only: bool = False) -> List[Part]:
    """Return the parts of an answer."""
    fields = [
        ("Server", "pyexec/" + __version__),
        ("Date", formatdate(usegmt=True)),
        ("Connection", "close" if close else "keep-alive"),
    ]
    if not close and service.config.idle_timeout_s >= 1:
        # For clients and proxies that would else send a request just when we close.
        fields.append(("Keep-Alive", "timeout=%d" % service.config.idle_timeout_s))
    if answer.status not in (204, 304):
        fields += [("Content-Type", answer.content_type), ("Content-Length", str(answer.length))]
    head = render_head(answer.status, fields + service.security_fields() + answer.fields)
    return [head] if head_only else [head, *answer.parts]


class Handler(BaseHTTPRequestHandler):
    """One connection: requests one after the other until either side has had enough."""

    server: Listener  # type: ignore[assignment]

    def setup(self) -> None:
        """Wrap the socket; the standard library's buffered files are not used."""
        self._place: Place = self.request
        self._connection = Connection(self._place)

    def finish(self) -> None:
        """Do nothing: there is nothing buffered."""

    def handle(self) -> None:
        """Answer requests until the connection is to be closed."""
        with contextlib.suppress(Disconnected):
            while self._one():
                pass

    def _one(self) -> bool:
        """Answer one request; return whether another may follow."""
        config = self.server.config
        if not self.server.table.mark(self._place, IDLE):
            return False
        if self.server.draining or not self._connection.await_request(config.idle_timeout_s):
            return False
        started = time.monotonic()
        accepted_s, self._place.accepted_s = self._place.accepted_s, None
        watch = Stopwatch(started if accepted_s is None else accepted_s)
        if accepted_s is not None:
            watch.mark_at("accept", started)  # the client's first byte may be what was waited for
        head: Optional[Head] = None
        unread = True
        received = 0
        with contextlib.ExitStack() as after:
            try:
                head = parse_head(self._connection.read_head(config.header_timeout_s))
                chunked = head.chunked  # framing first: where it is wrong, nothing else can be relied on
                respond = self.server.service.route(head)
                body = self._body(head, chunked, after)
                unread, received = False, len(body)
                watch.mark("read")
                if not self.server.table.mark(self._place, RUNNING):
                    return False
                answer = respond(head, body, self.peer, after)
                body = b""  # else it would be held, and no longer counted, while the answer is taken
            except PyexecError as error:
                answer = self.server.service.refuse(error, head, self.peer)
            except Disconnected:
                raise
            except Exception as fault:  # noqa: BLE001
                answer = self.server.service.error(self.server.service.fault(fault))
            close = self._must_close(head, unread)
            if config.server_timing:
                answer.fields.append(("Server-Timing", server_timing(watch.stages + answer.stages)))
            self._write(answer, head, close, started, received, after)
        if close and unread:
            self.server.table.mark(self._place, LINGERING)
        return not close

    def _must_close(self, head: Optional[Head], unread: bool) -> bool:
        if head is None or self.server.draining or not head.keep_alive:
            return True
        # A body that was not read would be taken for the next request.
        return unread and (
            head.method == "POST" or "content-length" in head.fields or "transfer-encoding" in head.fields
        )

    def _body(self, head: Head, chunked: bool, after: contextlib.ExitStack) -> bytes:
        config = self.server.config
        length = head.body_length
        if length is None and not chunked:
            if head.method == "POST":
                raise LengthRequired("Send a Content-Length, or the body in chunks.")
            return b""
        if length is not None and length > config.body_bytes:
            raise PayloadTooLarge("The body has %d bytes; at most %d are taken." % (length, config.body_bytes))
        body = after.enter_context(self.server.bodies.body(self._place, length))
        if head.expects_continue:
            self._connection.write([b"HTTP/1.1 100 Continue\r\n\r\n"], config.write_timeout_s)
        if length is None:
            return self._connection.read_chunks(config.body_bytes, config.body_timeout_s, body)
        return self._connection.read_body(length, config.body_timeout_s, body)

    @property
    def peer(self) -> str:
        """The address at the connection's other end."""
        return str(self.client_address[0]) if self.client_address else "local"

    def _write(
        self,
        answer: Answer,
        head: Optional[Head],
        close: bool,
        started: float,
        received: int,
        after: contextlib.ExitStack,
    ) -> None:
        head_only = head is not None and head.method == "HEAD"
        status = answer.status
        try:
            parts = head_and_body(self.server.service, answer, close, head_only)
            ready = list(itertools.takewhile(lambda part: isinstance(part, bytes), parts))
            rest = self._connection.write_at_once(ready, answer.length)  # type: ignore[arg-type]
            # What is left of the run goes now: a client that takes its answer slowly must not hold a child.
            after.close()
            later = parts[len(ready) :]
            if rest or later:
                if answer.kept is not None:
                    answer.kept.await_client(self._place)
                waiting: Iterator[Buffer] = itertools.chain(rest, made_as_written(later))
                self._connection.write(waiting, self.server.config.write_timeout_s)
        except Disconnected:
            status = _CLOSED_BY_CLIENT
            raise
        finally:
            if answer.kept is not None:
                answer.kept.release()
            self.server.service.count(head, answer, status, received)
            self._log(answer, head, status, started)

    def _log(self, answer: Answer, head: Optional[Head], status: int, started: float) -> None:
        """Write one line: never code, files or keys, no query, and nothing that could forge a line."""
        caller = answer.caller
        if caller == "-" and head is not None:
            caller = self.server.service.caller(head, self.peer).address
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "caller": caller if head is not None else self.peer,
            "method": head.method if head is not None else "-",
            "path": head.path[:200] if head is not None else "-",
            "status": status,
            "type": answer.kind,
            "bytes": answer.length,
            "ms": round((time.monotonic() - started) * 1000, 1),
        }
        if answer.fault:
            line["fault"] = answer.fault
        # One write: print would make two, and lines of two threads could run into each other.
        sys.stderr.write(json.dumps(line) + "\n")
        sys.stderr.flush()
