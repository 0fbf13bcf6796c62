"""One connection: read a request with a cap and a deadline, have it answered, write once, log one entry."""

from __future__ import annotations

import contextlib
import functools
import itertools
import secrets
import time
from typing import Callable, Iterator, Protocol

from pyexec import __version__, log, units
from pyexec.callers import Caller
from pyexec.config import Config
from pyexec.errors import LengthRequired, PayloadTooLarge, PyexecError
from pyexec.http1 import access
from pyexec.http1.answer import CLOSED_BY_CLIENT, Answer, Asked, Part, made_as_written
from pyexec.http1.connection import IDLE, LINGERING, RUNNING, Connection, Disconnected
from pyexec.http1.departure import Departure
from pyexec.http1.memory import AnswerBudget, Body, BodyBudget
from pyexec.http1.message import Head, parse_head, render_head
from pyexec.http1.reader import Reader
from pyexec.http1.table import Table
from pyexec.http1.writer import Buffer, Writer
from pyexec.timing import Stopwatch, server_timing

_DATE = "%a, %d %b %Y %H:%M:%S GMT"  # in English, since nothing here calls setlocale


class Application(Protocol):
    """What answers requests; it is handed in, and knows nothing of sockets."""

    config: Config
    answers: AnswerBudget

    def route(self, head: Head) -> Callable[[Asked], Answer]:
        """Return what answers a request, before its body is read. Raises PyexecError."""

    def refuse(self, error: PyexecError, head: Head | None, peer: str) -> Answer:
        """Return the answer to a request that ended in an error before anything could answer it."""

    def fault(self, cause: BaseException) -> PyexecError:
        """Return the error that stands for a fault of ours, once it is in the log."""

    def caller(self, head: Head, peer: str) -> Caller:
        """Return whose request this is."""

    def request_id(self, head: Head, peer: str) -> str:
        """Return the id that a trusted proxy gave this request, "" if none did."""

    def count(self, head: Head | None, answer: Answer, status: int, received: int) -> None:
        """Count an answer that went out, or that its client did not wait for."""

    def security_fields(self) -> list[tuple[str, str]]:
        """Return the header fields that every answer carries."""


class Listener(Protocol):
    """What a handler asks of the server that it belongs to."""

    config: Config
    application: Application
    bodies: BodyBudget
    table: Table
    leaving: bool
    draining: bool


@functools.lru_cache(maxsize=1)
def _date(now_s: int) -> str:
    return time.strftime(_DATE, time.gmtime(now_s))


def head_and_body(application: Application, answer: Answer, close: bool, head_only: bool = False) -> list[Part]:
    """Return the parts of an answer."""
    fields = [
        ("Server", f"pyexec/{__version__}"),
        ("Date", _date(int(time.time()))),
        ("Connection", "close" if close else "keep-alive"),
    ]
    if not close and application.config.idle_timeout_s >= 1:
        # For clients and proxies that would otherwise send a request just when we close.
        fields.append(("Keep-Alive", f"timeout={int(application.config.idle_timeout_s)}"))
    if answer.status not in (204, 304):
        fields += [("Content-Type", answer.content_type), ("Content-Length", str(answer.length))]
    head = render_head(answer.status, fields + application.security_fields() + answer.fields)
    return [head] if head_only else [head, *answer.parts]


class Handler:
    """One connection: requests one after the other until either side closes it."""

    def __init__(self, connection: Connection, peer: str, server: Listener) -> None:
        """Take a connection; `peer` is the address at its other end."""
        self._connection, self._peer, self._server = connection, peer, server
        self._reader, self._writer = Reader(connection), Writer(connection)

    def serve(self) -> None:
        """Answer requests until the connection is to be closed."""
        with contextlib.suppress(Disconnected):
            while self._one():
                pass

    def _one(self) -> bool:
        """Answer one request; return whether another may follow."""
        server, config = self._server, self._server.config
        if not server.table.mark(self._connection, IDLE):
            return False
        if server.draining or not self._reader.await_request(config.idle_timeout_s):
            return False
        started = time.monotonic()
        accepted_s, self._connection.accepted_s = self._connection.accepted_s, None
        watch = Stopwatch(started if accepted_s is None else accepted_s)
        if accepted_s is not None:
            watch.mark_at("accept", started)  # which includes any wait for the client's first byte
        head: Head | None = None
        unread, received, request_id = True, 0, ""
        with contextlib.ExitStack() as after:
            log.begin_request(secrets.token_hex(8))
            try:
                head = parse_head(self._reader.read_head(config.header_timeout_s))
                request_id = server.application.request_id(head, self._peer)
                if request_id:
                    log.begin_request(request_id)
                chunked = head.chunked  # framing first: where it is wrong, nothing else can be relied on
                respond = server.application.route(head)
                body = self._body(head, chunked, after)
                asked = Asked(head, body, self._peer, after, Departure(self._connection.sock, self._reader.has_more))
                del body
                # However this ends: nothing may hold the body any more when its bytes are counted as free.
                after.callback(asked.forget_body)
                unread, received = False, asked.size
                watch.mark("read")
                if not server.table.mark(self._connection, RUNNING):
                    return False
                answer = respond(asked)
                del asked  # or its body would be held, and no longer counted, while the client takes the answer
            except PyexecError as error:
                answer = server.application.refuse(error, head, self._peer)
            except Disconnected:
                raise
            except Exception as fault:  # noqa: BLE001
                answer = server.application.refuse(server.application.fault(fault), None, self._peer)
            if request_id:  # that of a trusted proxy, which may look for it in the answer
                answer.fields.append(("X-Request-ID", request_id))
            close = self._must_close(head, unread)
            if config.server_timing:
                answer.fields.append(("Server-Timing", server_timing(watch.stages + answer.stages)))
            self._write(answer, head, close, started, received, after)
        if close and unread:
            server.table.mark(self._connection, LINGERING)
        return not close

    def _must_close(self, head: Head | None, unread: bool) -> bool:
        if head is None or self._server.leaving or not head.keep_alive:
            return True
        # A body that was not read would be taken for the next request.
        return unread and (
            head.method == "POST" or "content-length" in head.fields or "transfer-encoding" in head.fields
        )

    def _body(self, head: Head, chunked: bool, after: contextlib.ExitStack) -> Body | bytes:
        config = self._server.config
        length = head.body_length
        if length is None and not chunked:
            if head.method == "POST":
                raise LengthRequired("Send a Content-Length, or the body in chunks.")
            return b""
        if length is not None and length > config.body_bytes:
            raise PayloadTooLarge(
                f"The body is too large: it has {units.size(length)}, and the limit is {units.size(config.body_bytes)}."
            )
        body = after.enter_context(self._server.bodies.body(self._connection, length))
        if head.expects_continue:
            self._writer.write([b"HTTP/1.1 100 Continue\r\n\r\n"], config.write_timeout_s)
        if length is None:
            self._reader.read_chunks(config.body_bytes, config.body_timeout_s, body)
        else:
            self._reader.read_body(length, config.body_timeout_s, body)
        return body

    def _write(
        self,
        answer: Answer,
        head: Head | None,
        close: bool,
        started: float,
        received: int,
        after: contextlib.ExitStack,
    ) -> None:
        head_only = head is not None and head.method == "HEAD"
        application = self._server.application
        status = answer.status
        try:
            if status == CLOSED_BY_CLIENT:
                raise Disconnected("the client closed while its request was answered")
            parts = head_and_body(application, answer, close, head_only)
            ready = list(itertools.takewhile(lambda part: isinstance(part, bytes), parts))
            rest = self._writer.write_at_once(ready, answer.length)  # type: ignore[arg-type]
            # What is left of the run goes now: a client that takes its answer slowly must not hold a child.
            after.close()
            later = parts[len(ready) :]
            if rest or later:
                if answer.kept is not None:
                    answer.kept.await_client(self._connection)
                waiting: Iterator[Buffer] = itertools.chain(rest, made_as_written(later))
                self._writer.write(waiting, self._server.config.write_timeout_s)
        except Disconnected:
            status = CLOSED_BY_CLIENT
            raise
        finally:
            if answer.kept is not None:
                answer.kept.release()
            application.count(head, answer, status, received)
            if answer.is_logged:
                self._log(answer, head, status, started)

    def _log(self, answer: Answer, head: Head | None, status: int, started: float) -> None:
        """Write the entry of a request."""
        caller = answer.caller
        if caller == "-":
            caller = self._peer if head is None else self._server.application.caller(head, self._peer).address
        fields = access.fields(answer, head, caller, status, time.monotonic() - started)
        log.request(fields, log.ERROR if status == 500 else log.INFO)
