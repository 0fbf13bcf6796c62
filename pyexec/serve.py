"""The life of the server process: start the sandbox, listen, wait for the signal to end, drain. Answers nothing."""

from __future__ import annotations

import dataclasses
import signal
import sys
import threading
from typing import TYPE_CHECKING, List, Set

from pyexec.config import Config
from pyexec.kernel import libc
from pyexec.log import Log
from pyexec.sandbox import Sandbox

if TYPE_CHECKING:
    from pyexec.server import Server

_DRAIN_GRACE_S = 5.0


def serve(config: Config) -> int:
    """Serve until SIGTERM or SIGINT, then let running scripts end; return the exit status.

    Raises:
        SandboxError: this host can't confine scripts. OSError: the address can't be had.
    """
    libc.keep_freed_memory()
    ending = {signal.SIGTERM, signal.SIGINT}
    # Blocked before any thread starts, and waited for here: a handler might wait for ever for this thread to wake up,
    # since the kernel may hand the signal to any other.
    signal.pthread_sigmask(signal.SIG_BLOCK, ending)
    sys.stderr = Log(sys.stderr)
    with Sandbox(config, wait=False) as sandbox:
        try:
            _serve(config, sandbox, ending)
        finally:
            # Nothing waits for a signal any more: after a failure, too, one ends us even if the sandbox's end hangs.
            _end_at_once_on(ending)
    print("pyexec: stopped", file=sys.stderr, flush=True)
    return 0


def _end_at_once_on(ending: Set[signal.Signals]) -> None:
    for number in ending:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ending)


def _serve(config: Config, sandbox: Sandbox, ending: Set[signal.Signals]) -> None:
    # While the templates load, in processes of their own, this one loads the rest of itself.
    from pyexec.api.routes import Service
    from pyexec.server import Server

    sandbox.await_start()
    service = Service(config, sandbox)
    servers = [Server(config, service)]
    if config.metrics_port is not None:
        inside = dataclasses.replace(config, host="127.0.0.1", port=config.metrics_port)
        servers.append(Server(inside, service.metrics_alone()))
    # Daemons, so that an exception from here on ends the process: nobody would tell the others to stop accepting.
    threads = [threading.Thread(target=server.serve_forever, name="pyexec-accept", daemon=True) for server in servers]
    for thread in threads:
        thread.start()
    _announce(servers, sandbox)
    signal.sigwait(ending)
    _end_at_once_on(ending)  # a second one ends us without draining
    print("pyexec: draining", file=sys.stderr, flush=True)
    for server, thread in zip(servers, threads):
        server.shutdown()
        thread.join()
        server.server_close()
    for server in servers:
        server.drain(config.budget.wall_s + _DRAIN_GRACE_S)


def _announce(servers: List[Server], sandbox: Sandbox) -> None:
    on = [status.name for status in sandbox.layers if status.on]
    missing = sandbox.report["missing"]
    print("pyexec: layers on: %s" % ", ".join(on), file=sys.stderr)
    if missing:
        print("pyexec: not installed, so scripts can't import: %s" % ", ".join(missing), file=sys.stderr)
    if servers[0].config.admin_key is None:
        print("pyexec: no admin key; set PYTHON_EXE_KEY to have one", file=sys.stderr)
    # The public address last: who starts us knows from it that all is ready.
    for server, path in reversed(list(zip(servers, ("", "/metrics")))):
        host = "[%s]" % server.server_name if ":" in server.server_name else server.server_name
        what = "metrics" if path else "serving"
        print("pyexec: %s on http://%s:%d%s" % (what, host, server.server_port, path), file=sys.stderr, flush=True)
