"""One connection: read a request with a cap and a deadline, let `service` answer it, write once, log one line."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from typing import List, Optional, Protocol

from pyexec import __version__
from pyexec.bodies import ByteBudget, Untaken
from pyexec.config import Config
from pyexec.connection import Connection, Disconnected
from pyexec.errors import LengthRequired, PayloadTooLarge, PyexecError
from pyexec.http1 import Head, parse_head, render_head
from pyexec.service import Answer, Service
from pyexec.timing import Stopwatch, server_timing

_CLOSED_BY_CLIENT = 499
# What a connection waits for. Where all places are taken, one that waits for its client makes room: of those between
# two requests that which has waited longest, else of those in the middle of one.
BUSY, MIDDLE, IDLE = 0, 1, 2


class Listener(Protocol):
    """What a handler asks of the server that it belongs to."""

    config: Config
    service: Service
    bodies: ByteBudget
    untaken: Untaken
    draining: bool

    def mark(self, request: socket.socket, waits: int) -> bool:
        """Note what a connection waits for; return False if it was told to make room."""

    def accepted_s(self, request: socket.socket) -> Optional[float]:
        """Return when a connection was accepted, for its first request; None for the others."""


def head_and_body(service: Service, answer: Answer, close: bool, head_only: bool = False) -> List[bytes]:
    """Return the bytes of an answer."""
    fields = [
        ("Server", "pyexec/" + __version__),
        ("Date", formatdate(usegmt=True)),
        ("Connection", "close" if close else "keep-alive"),
    ]
    if answer.status not in (204, 304):
        fields += [("Content-Type", answer.content_type), ("Content-Length", str(answer.length))]
    head = render_head(answer.status, fields + service.security_fields() + answer.fields)
    return [head] if head_only else [head] + answer.parts


class Handler(BaseHTTPRequestHandler):
    """One connection: requests one after the other until either side has had enough."""

    server: Listener  # type: ignore[assignment]

    def setup(self) -> None:
        """Wrap the socket; the standard library's buffered files are not used."""
        self._connection = Connection(self.request)

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
        if not self.server.mark(self.request, IDLE):
            return False
        if self.server.draining or not self._connection.await_request(config.idle_timeout_s):
            return False
        started = time.monotonic()
        accepted_s = self.server.accepted_s(self.request)
        watch = Stopwatch(started if accepted_s is None else accepted_s)
        if accepted_s is not None:
            watch.mark_at("accept", started)  # the client's first byte may be what was waited for
        head: Optional[Head] = None
        unread = True
        received = 0
        with contextlib.ExitStack() as after:
            try:
                raw = self._connection.read_head(config.header_timeout_s)
                # A client that dawdles must not keep others out.
                if not self.server.mark(self.request, MIDDLE):
                    return False
                head = parse_head(raw)
                respond = self.server.service.route(head)
                body = self._body(head, after)
                unread, received = False, len(body)
                watch.mark("read")
                if not self.server.mark(self.request, BUSY):
                    return False
                answer = respond(head, body, self.peer, after)
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
            self._connection.linger()
        return not close

    def _must_close(self, head: Optional[Head], unread: bool) -> bool:
        if head is None or self.server.draining or not head.keep_alive:
            return True
        # A body that was not read would be taken for the next request.
        return unread and (
            head.method == "POST" or "content-length" in head.fields or "transfer-encoding" in head.fields
        )

    def _body(self, head: Head, after: contextlib.ExitStack) -> bytes:
        config = self.server.config
        length = head.body_length
        if length is None:
            if head.method == "POST":
                raise LengthRequired("Send a Content-Length.")
            return b""
        if length > config.body_bytes:
            raise PayloadTooLarge("The body has %d bytes; at most %d are taken." % (length, config.body_bytes))
        take = after.enter_context(self.server.bodies.share())
        if head.expects_continue:
            self._connection.write([b"HTTP/1.1 100 Continue\r\n\r\n"], config.write_timeout_s)
        return self._connection.read_body(length, config.body_timeout_s, take)

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
            rest = self._connection.write_at_once(parts)
            # What is left of the run goes now: a client that takes its answer slowly must not hold a child.
            after.close()
            if rest and self.server.mark(self.request, MIDDLE):
                with self.server.untaken.waiting(self.request, answer.length):
                    self._connection.write(rest, self.server.config.write_timeout_s)
        except Disconnected:
            status = _CLOSED_BY_CLIENT
            raise
        finally:
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
