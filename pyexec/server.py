"""The server process: its life from start to drain, its listening sockets, and the threads of their connections.

What is said on a connection is `http1.handler`'s business, what it means `api`'s.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import select
import signal
import socket
import sys
import threading
import time
from typing import Sequence

from pyexec import key_file, listening, log, units
from pyexec.callers import UNIX, Proxies
from pyexec.config import Config
from pyexec.errors import ServerBusy
from pyexec.http1.answer import made_as_written
from pyexec.http1.connection import LINGERING, Connection
from pyexec.http1.handler import Application, Handler, head_and_body
from pyexec.http1.linger import Lingerer
from pyexec.http1.memory import BodyBudget
from pyexec.http1.table import Table
from pyexec.http1.threads import Threads
from pyexec.kernel import libc
from pyexec.key_file import NamedKey
from pyexec.listening import Listening
from pyexec.log import Log
from pyexec.sandbox import Sandbox

_DRAIN_GRACE_S = 5.0
_LOOK_S = 0.1
_FULL_PAUSE_S = 0.05
_QUIET_S, _LONGEST_TIDE_S = 5.0, 30.0
_METRICS_HOST = "127.0.0.1"


def serve(config: Config) -> int:
    """Serve until SIGTERM or SIGINT, then let running scripts end; return the exit status.

    Raises:
        SandboxError: this host can't confine scripts. OSError: the address can't be listened on. ConfigError: the keys
            file is malformed.
    """
    libc.keep_freed_memory()
    named = () if config.keys_file is None else key_file.read(config.keys_file)
    ending = {signal.SIGTERM, signal.SIGINT}
    waking = {signal.SIGUSR1}
    if config.keys_file is not None:  # or else SIGHUP ends us, as when the terminal is closed that we were started from
        waking.add(signal.SIGHUP)
    # Blocked before any thread starts, and waited for here: a handler might wait for ever for this thread to wake up,
    # since the kernel may deliver the signal to any other.
    signal.pthread_sigmask(signal.SIG_BLOCK, ending | waking)
    if not (sys.stderr is not None and sys.stderr.isatty()):
        log.serve_machines()
    sys.stderr = Log(sys.stderr)
    with Sandbox(config, wait=False) as sandbox:
        try:
            _serve(config, sandbox, named, ending, waking)
        finally:
            # Nothing waits for a signal any more: after a failure, too, one ends us even if closing the sandbox hangs.
            _end_at_once_on(ending)
    log.say("stopped")
    return 0


def _end_at_once_on(ending: set[signal.Signals]) -> None:
    for number in ending:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ending)


def _serve(
    config: Config,
    sandbox: Sandbox,
    named: Sequence[NamedKey],
    ending: set[signal.Signals],
    waking: set[signal.Signals],
) -> None:
    # While the zygotes load, in processes of their own, this one loads the rest of itself.
    from pyexec.api.routes import Service

    sandbox.await_start()
    service = Service(config, sandbox, named)
    servers = [Server(service.public, listening.listen(config))]
    if config.metrics_port is not None:
        servers.append(Server(service.metrics_only, listening.on_address(_METRICS_HOST, config.metrics_port)))
    # Daemons, so that an exception from here on ends the process: nothing else would stop them from accepting.
    threads = [threading.Thread(target=server.accept, name="pyexec-accept", daemon=True) for server in servers]
    for thread in threads:
        thread.start()
    _announce(config, sandbox, named, servers)
    number = signal.sigwait(ending | waking)
    while number in waking:
        service.read_keys() if number == signal.SIGHUP else sandbox.renew()
        number = signal.sigwait(ending | waking)
    _end_at_once_on(ending)  # a second one ends us without draining
    log.say("draining")
    service.drain()
    for server in servers:
        server.leaving = True
    time.sleep(config.drain_s)  # balancers find out by /health, and go on being answered until they have
    for server, thread in zip(servers, threads):
        server.stop_accepting()
        thread.join()
        server.close()
    for server in servers:
        server.drain((config.queue_s if config.queue else 0) + config.budget.wall_s + _DRAIN_GRACE_S)


def _announce(config: Config, sandbox: Sandbox, named: Sequence[NamedKey], servers: list[Server]) -> None:
    on = ", ".join(sandbox.report.on)
    missing = ", ".join(sandbox.report.missing)
    log.say(f"layers on: {on}")
    if missing:
        log.say(f"not installed, so scripts can't import: {missing}")
    if not sandbox.report.own_stacks:
        log.say("stacks show pyexec's frames below the script's on this build of Python; tracebacks don't")
    if config.admin_key is None:
        log.say("no admin key; set PYTHON_EXE_KEY to have one")
    elif len(config.admin_key) < key_file.SHORTEST_KEY:
        log.say(
            f"the admin key has fewer than {key_file.SHORTEST_KEY} characters, and can be guessed; make a longer one",
            log.WARNING,
        )
    if config.keys_file is not None:
        log.say(f"{units.count(len(named), 'named key')} from {config.keys_file}")
    log.say(Proxies.of(config).describe(config.unix_socket is not None))
    # The public address last: whoever starts us takes it as the sign that everything is ready.
    for server in servers[1:]:
        log.say(f"metrics on {server.url}/metrics")
    log.say(f"serving on {servers[0].url}")


class Server:
    """A listening socket and its connections: a thread each, a bounded number.

    Attributes:
        leaving: answers close their connections. draining: no further request is read, either.
    """

    def __init__(self, application: Application, where: Listening) -> None:
        """Take what answers, and a socket that listens."""
        self.application, self.config = application, application.config
        self.bodies = BodyBudget(self.config.bodies_bytes)
        self.table = Table(self.config.max_connections, self.config.peer_connections, self.config.trusted_proxies)
        self.leaving = self.draining = self._stopping = False
        self._workers, self._lingerer = Threads(self._serve_connection), Lingerer()
        self._listening = where
        self._poll = select.poll()
        self._poll.register(where.sock, select.POLLIN)

    @property
    def url(self) -> str:
        """What is listened on."""
        return self._listening.url

    def accept(self) -> None:
        """Accept until `stop_accepting`, whatever happens in between: what is short now may not be in a moment."""
        while not self._stopping:
            try:
                if self._poll.poll(1000 * _LOOK_S):
                    self._accept()
                self._ebb()
            except Exception:  # noqa: BLE001 - MemoryError, even while another is handled: nothing here needs memory
                time.sleep(_FULL_PAUSE_S)

    def _accept(self) -> None:
        try:
            sock, address = self._listening.sock.accept()
        except OSError as error:
            # With no descriptor left, let others finish first instead of spinning.
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS):
                time.sleep(_FULL_PAUSE_S)
            return
        try:
            connection = self.table.enter(sock, address)
            if connection is None:
                self._refuse(sock)
            else:
                self._workers.call(connection, str(address[0]) if isinstance(address, tuple) else UNIX)
        except Exception as fault:  # noqa: BLE001 - no further thread can be started, say
            try:
                self.application.fault(fault)
            finally:
                self._close(sock)

    def _ebb(self) -> None:
        """Give memory back that a storm of large requests or answers has left behind."""
        for tide in (self.bodies.tide, self.application.answers.tide):
            tide.ebb(_QUIET_S, _LONGEST_TIDE_S, _give_back_memory)

    def _serve_connection(self, connection: Connection, peer: str) -> None:
        """Serve one connection to its end."""
        try:
            Handler(connection, peer, self).serve()
        except Exception as fault:  # noqa: BLE001 - no answer could be given
            self.application.fault(fault)
        finally:
            if connection.state == LINGERING:
                self._lingerer.take(connection.sock, lambda: self._close(connection.sock))
            else:
                self._close(connection.sock)

    def _close(self, sock: socket.socket) -> None:
        """Close a connection and forget it."""
        self.table.leave(sock)
        # Closing alone isn't seen while a process that is just being started still has the descriptor.
        with contextlib.suppress(OSError):  # the client is gone
            sock.shutdown(socket.SHUT_WR)
        sock.close()

    def _refuse(self, sock: socket.socket) -> None:
        """Answer that there are too many connections."""
        busy = ServerBusy("Too many connections; try again in a moment.", 1, "connections")
        answer = self.application.refuse(busy, None, "")
        self.application.count(None, answer, answer.status, 0)
        with contextlib.suppress(OSError):  # what does not fit into an empty send buffer is not sent
            sock.setblocking(False)
            sock.send(b"".join(made_as_written(head_and_body(self.application, answer, close=True))))
        self._lingerer.take_spare(sock)

    def stop_accepting(self) -> None:
        """Make `accept` return, within a moment."""
        self._stopping = True

    def close(self) -> None:
        """Close the listening socket; connections stay."""
        self._listening.close()

    def drain(self, timeout_s: float) -> bool:
        """Close idle connections and wait for the others to be answered; return whether all were."""
        self.draining = True
        return self.table.drain(timeout_s)


def _give_back_memory() -> None:
    gc.collect()  # what exceptions hold on to goes only then, and nothing else triggers it in a quiet server
    libc.give_back_freed_memory()
