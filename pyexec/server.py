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
        """Return the connection that has waited longest between two requests, else in the middle of one; or None."""
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


def _has_spoken(sock: socket.socket) -> bool:
    """Return whether bytes wait that its thread has not come to read: then it is not idle, only not looked at yet."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))
