"""`pyexec mcp`: the Model Context Protocol on standard input and output, for a client that starts us itself."""

from __future__ import annotations

import argparse
import os
import select
import signal
import threading
from typing import TYPE_CHECKING, Any, BinaryIO, Iterable

from pyexec import log
from pyexec.config import Config
from pyexec.http1.answer import Part, made_as_written
from pyexec.sandbox import Sandbox

if TYPE_CHECKING:
    from pyexec.api.mcp.session import Session

HELP = "serve the Model Context Protocol on standard input and output"
OPTIONS = ("admin",)
_CODE_CHARS = 100_000  # the user is the only caller, so what bounds the code of strangers isn't needed
_LONGEST_LINE = 64 << 20
_LOOK_S = 0.1
_TOO_LONG_STATUS = 1


class _Ended(BaseException):
    """We were told to end."""


def defaults(_: argparse.Namespace) -> dict[str, Any]:
    """Return the settings that have another default than a server's."""
    return {"code_chars": _CODE_CHARS}


def main(config: Config, given: argparse.Namespace) -> int:
    """Serve one client until its end of file, or until SIGTERM or SIGINT; return the exit status."""
    lines, output = _own_streams()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    try:
        with lines, Sandbox(config, wait=False) as sandbox:
            # While the templates load, in processes of their own, this one loads the rest of itself.
            from pyexec.api import hints
            from pyexec.api.mcp import installed
            from pyexec.api.mcp.session import Session
            from pyexec.api.mcp.tool import Server

            sandbox.await_start()

            def server() -> Server:
                # Libraries that were added are loaded later.
                report = sandbox.report
                found = installed.libraries(report)
                own_tree, deletes = report.own_tree, hints.may_delete(report)
                return Server(config, report.python, found, given.admin, False, sandbox.data, own_tree, deletes)

            session = Session(server, config.max_runs, sandbox.execution, output.send)
            log.say("serving on standard input and output")
            try:
                return _serve(lines, session, output)
            finally:
                session.end()
    except _Ended:
        return 0


def _end(*_: object) -> None:
    raise _Ended


def _own_streams() -> tuple[BinaryIO, Output]:
    """Return the protocol's streams, after putting others in their place.

    Whatever else is written to standard output, by this process or one that it starts, goes to standard error.
    """
    lines, output = os.fdopen(os.dup(0), "rb"), Output(os.dup(1))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return lines, output


def _serve(lines: BinaryIO, session: Session, output: Output) -> int:
    while not output.broken:
        line = lines.readline(_LONGEST_LINE + 1)
        if not line:
            break
        if len(line) > _LONGEST_LINE:
            log.say(f"a line of more than {_LONGEST_LINE >> 20} MiB ends the session")
            return _TOO_LONG_STATUS
        if line.strip():
            session.take(line)
    # A client that has closed its side may still read: `printf … | pyexec mcp` gets its answers.
    while not session.idle(_LOOK_S) and not output.is_closed():
        pass
    return 0


class Output:
    """The stream of answers, one a line. Thread-safe."""

    def __init__(self, descriptor: int) -> None:
        """Take the descriptor."""
        self._descriptor, self._lock = descriptor, threading.Lock()
        self.broken = False

    def send(self, parts: Iterable[Part]) -> None:
        """Write one answer, unless it is empty or nobody reads any more."""
        found = list(parts)
        if not found:
            return
        with self._lock:
            try:
                for data in made_as_written([*found, b"\n"]):
                    view = memoryview(data)
                    while view:
                        view = view[os.write(self._descriptor, view) :]
            except OSError:
                self.broken = True

    def is_closed(self) -> bool:
        """Return whether nobody reads any more."""
        poll = select.poll()
        poll.register(self._descriptor, 0)
        return self.broken or any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))
