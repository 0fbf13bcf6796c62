"""The listening socket, its connections and their threads; what is said on a connection is `handler`'s business.

Builds on the standard library's ThreadingHTTPServer, with its reading, writing and threads replaced: as it comes it
answers in HTML, in two writes (40 ms a reused connection), waits for ever for a slow client, reads a body of any size,
and starts a thread for each connection, however many.
"""

from __future__ import annotations

import _thread
import collections
import contextlib
import errno
import queue
import select
import socket
import sys
import threading
import time
from http.server import ThreadingHTTPServer
from typing import Any, Dict, Optional, Tuple

from pyexec.bodies import ByteBudget, Untaken
from pyexec.config import Config
from pyexec.errors import ServerBusy
from pyexec.handler import IDLE, MIDDLE, Handler, head_and_body
from pyexec.service import Service

_BACKLOG = 128
_FULL_PAUSE_S = 0.05
_IDLE_THREAD_S = 5.0


class Server(ThreadingHTTPServer):
    """The listening socket and its connections: a thread each, a bounded number; a thread that has none waits for one.

    Starting a thread takes as long as the rest of a small request's way through this module.
    """

    request_queue_size = _BACKLOG
    allow_reuse_address = True

    def __init__(self, config: Config, service: Service) -> None:
        """Bind and listen. Raises OSError."""
        self.config, self.service = config, service
        self.bodies, self.untaken = ByteBudget(config.bodies_bytes), Untaken(config.bodies_bytes)
        self.draining = self._stopping = False
        self._connections_changed = threading.Condition()
        self._open: collections.OrderedDict[socket.socket, int] = collections.OrderedDict()  # socket → what for
        self._accepted: Dict[socket.socket, float] = {}  # when, until its first request came
        self._idle_threads = 0
        self._handed: queue.SimpleQueue[Tuple[Any, Any]] = queue.SimpleQueue()  # to as many idle threads
        if ":" in config.host:
            self.address_family = socket.AF_INET6
        super().__init__((config.host, config.port), Handler)

    def server_bind(self) -> None:
        """Bind without asking a name server for our name, as the standard library would."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self.socket.bind(self.server_address)
        except OSError as error:
            # Else the operator would read a number and no address.
            where = "%s, port %d" % (self.config.host, self.config.port)
            reason = "can't listen on %s: %s; set --host or --port" % (where, error.strerror)
            raise OSError(error.errno, reason) from error
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def get_request(self) -> Any:
        """Accept; with no descriptor left, let others finish first instead of spinning."""
        try:
            return super().get_request()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS):
                time.sleep(_FULL_PAUSE_S)
            raise

    def serve_forever(self, poll_interval: float = 0.1) -> None:
        """Accept until `shutdown`, whatever happens in between: what is short now may not be in a moment."""
        while not self._stopping:
            try:
                super().serve_forever(poll_interval)
            except Exception:  # noqa: BLE001 - MemoryError, even while another is handled: nothing here needs memory
                time.sleep(_FULL_PAUSE_S)

    def shutdown(self) -> None:
        """Make `serve_forever` return, and wait until it has."""
        self._stopping = True
        super().shutdown()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Take a connection; when all places are taken, one that waits for its client makes room."""
        with self._connections_changed:
            full = len(self._open) >= self.config.max_connections
            if full:
                waiting = self._to_make_room()
                if waiting is not None:
                    del self._open[waiting]
                    with contextlib.suppress(OSError):  # its client has just closed it
                        waiting.shutdown(socket.SHUT_RDWR)
                    full = False
            if not full:
                self._open[request] = IDLE
                self._accepted[request] = time.monotonic()
        if full:
            self._refuse(request)
        else:
            self._hand_to_thread(request, client_address)

    def _to_make_room(self) -> Optional[socket.socket]:
        """Return the connection between two requests, or else in the middle of one, that has waited longest; or None."""
        for state in (IDLE, MIDDLE):
            for sock, waits in self._open.items():
                if waits == state and not _has_spoken(sock):
                    return sock
        return None

    def _hand_to_thread(self, request: socket.socket, client_address: Any) -> None:
        with self._connections_changed:
            waits = self._idle_threads > 0
            self._idle_threads -= waits
        if waits:
            self._handed.put((request, client_address))
        else:
            # Not threading.Thread, whose start waits for a sign of life: for ever, and we with it, if the thread runs
            # out of memory before it gives one. Its connection is idle then, and makes room for another.
            _thread.start_new_thread(self._serve, (request, client_address))

    def _serve(self, request: socket.socket, client_address: Any) -> None:
        """Be a thread: serve a connection, then wait for another, for a while or as the last one that waits."""
        while True:
            self.process_request_thread(request, client_address)
            with self._connections_changed:
                self._idle_threads += 1
            handed = None
            while handed is None:
                with contextlib.suppress(MemoryError):  # counted as waiting, it must go on waiting
                    handed = self._next_connection()
                    if handed is None:
                        return
            request, client_address = handed

    def _next_connection(self) -> Optional[Tuple[socket.socket, Any]]:
        """Return what was handed to this idle thread; None if it is to end, and is no longer counted as idle."""
        while True:
            try:
                return self._handed.get(timeout=_IDLE_THREAD_S)
            except queue.Empty:
                with self._connections_changed:
                    # What has been handed over meanwhile is no longer counted, and another takes it.
                    if self._idle_threads > 1:
                        self._idle_threads -= 1
                        return None

    def _refuse(self, request: socket.socket) -> None:
        answer = self.service.error(ServerBusy("Too many connections; try again in a moment.", 1, "connections"))
        self.service.count(None, answer, answer.status, 0)
        with contextlib.suppress(OSError):  # what does not fit into an empty send buffer is not sent
            request.setblocking(False)
            request.send(b"".join(head_and_body(self.service, answer, close=True)))
        self.shutdown_request(request)

    def mark(self, request: socket.socket, waits: int) -> bool:
        """Note what a connection waits for; return False if it was told to make room."""
        with self._connections_changed:
            if request not in self._open:
                return False
            if self._open[request] != waits:  # a new connection stands where it was accepted
                self._open[request] = waits
                self._open.move_to_end(request)
            self._connections_changed.notify_all()
            return True

    def accepted_s(self, request: socket.socket) -> Optional[float]:
        """Return when a connection was accepted, for its first request; None for the others."""
        return self._accepted.pop(request, None)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection and forget it."""
        with self._connections_changed:
            self._open.pop(request, None)
            self._accepted.pop(request, None)
            self._connections_changed.notify_all()
        super().shutdown_request(request)

    def drain(self, timeout_s: float) -> bool:
        """Close idle connections and wait for the others to be answered; return whether all were."""
        self.draining = True
        deadline = time.monotonic() + timeout_s
        with self._connections_changed:
            while True:
                for sock, waits in self._open.items():
                    if waits == IDLE:
                        with contextlib.suppress(OSError):  # closed meanwhile
                            sock.shutdown(socket.SHUT_RDWR)
                if not self._open or time.monotonic() >= deadline:
                    return not self._open
                self._connections_changed.wait(min(0.5, deadline - time.monotonic()))

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log a fault that no answer could be given for."""
        error = sys.exc_info()[1]
        if error is not None:
            self.service.fault(error)


<<<<<<< HEAD
def _has_spoken(sock: socket.socket) -> bool:
    """Return whether bytes wait that its thread has not come to read: then it is not idle, only not looked at yet."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))
=======
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

    server: Server

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
                if not self.server.mark(self.request, BUSY):
                    return False
                unread, received = False, len(body)
                watch.mark("read")
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
>>>>>>> 94218d8 (Who dawdles with a body or an answer makes room as well)
