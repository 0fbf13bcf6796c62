"""The listening socket, its connections and their threads; what is said on a connection is `handler`'s business.

Builds on the standard library's ThreadingHTTPServer, with its reading, writing and threads replaced: as it comes it
answers in HTML, in two writes (40 ms a reused connection), waits for ever for a slow client, reads a body of any size,
and starts a thread for each connection, however many.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import socket
import sys
import time
from http.server import ThreadingHTTPServer
from typing import Any

from pyexec.api.routes import Service
from pyexec.config import Config
from pyexec.errors import ServerBusy
from pyexec.http1.answer import made_as_written
from pyexec.http1.handler import Handler, head_and_body
from pyexec.http1.linger import Lingerer
from pyexec.http1.memory import BodyBudget
from pyexec.http1.pace import LINGERING, Place
from pyexec.http1.table import Table
from pyexec.http1.threads import Threads
from pyexec.kernel import libc

_BACKLOG = 128
_FULL_PAUSE_S = 0.05
_QUIET_S, _LONGEST_TIDE_S = 5.0, 30.0


class Server(ThreadingHTTPServer):
    """The listening socket and its connections: a thread each, a bounded number."""

    request_queue_size = _BACKLOG
    allow_reuse_address = True

    def __init__(self, config: Config, service: Service) -> None:
        """Bind and listen. Raises OSError."""
        self.config, self.service = config, service
        self.bodies = BodyBudget(config.bodies_bytes)
        self.table = Table(config.max_connections, config.peer_connections, config.trusted_proxies)
        self.draining = self._stopping = False
        self._workers, self._lingerer = Threads(self._serve), Lingerer()
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

    def service_actions(self) -> None:
        """Between two looks for connections: give memory back that a storm of large requests or answers has left."""
        for tide in (self.bodies.tide, self.service.answer_budget.tide):
            tide.ebb(_QUIET_S, _LONGEST_TIDE_S, _give_back_memory)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Take a connection; when all places are taken, one that gets on badly makes room."""
        place = self.table.enter(request, client_address)
        if place is None:
            self._refuse(request)
        else:
            self._workers.call(place, client_address)

    def _serve(self, place: Place, client_address: Any) -> None:
        """Serve one connection to its end."""
        try:
            Handler(place, client_address, self)  # type: ignore[arg-type]
        except Exception:  # noqa: BLE001 - of one connection, for which no answer could be given
            self.handle_error(place, client_address)
        finally:
            if place.state == LINGERING:
                self._lingerer.take(place.sock, lambda: self.shutdown_request(place.sock))
            else:
                self.shutdown_request(place.sock)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection and forget it."""
        self.table.leave(request)
        super().shutdown_request(request)

    def _refuse(self, request: socket.socket) -> None:
        answer = self.service.error(ServerBusy("Too many connections; try again in a moment.", 1, "connections"))
        self.service.count(None, answer, answer.status, 0)
        with contextlib.suppress(OSError):  # what does not fit into an empty send buffer is not sent
            request.setblocking(False)
            request.send(b"".join(made_as_written(head_and_body(self.service, answer, close=True))))
        self._lingerer.take_spare(request)

    def drain(self, timeout_s: float) -> bool:
        """Close idle connections and wait for the others to be answered; return whether all were."""
        self.draining = True
        return self.table.drain(timeout_s)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log a fault that no answer could be given for."""
        error = sys.exc_info()[1]
        if error is not None:
            self.service.fault(error)


def _give_back_memory() -> None:
    gc.collect()  # what exceptions hold on to goes only then, and nothing else brings it about in a quiet server
    libc.give_back_freed_memory()
