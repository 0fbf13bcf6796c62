"""The template process and one child of it, as the server holds them: sockets, descriptors, signals. No threads."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import Any, Dict, List, NamedTuple, Optional

from pyexec import messages
from pyexec.config import Config, zygote_environment
from pyexec.errors import LayerError, SandboxError
from pyexec.kernel import libc

_START_S, _END_S = 60.0, 5.0
# First on the path, so that the template is of this very copy of the package, whatever else is installed.
_BOOT = "import sys; sys.path.insert(0, %r); from pyexec.zygote import start; start.main()"


class Death(NamedTuple):
    """How a child ended: its exit status, negative for a signal, and the limit of processor time if it met that."""

    code: int
    cpu_limit_s: Optional[int]


class Child:
    """A waiting or running child: its sockets, in-memory streams, directory and process, all by descriptor."""

    def __init__(self, place: int, admin: bool, libraries: bool, workdir: str) -> None:
        """Make the server's half of a child; `Template.spawn` sends the other half out."""
        self.place, self.admin, self.libraries, self.workdir = place, admin, libraries, workdir
        self.end, self.far_end = messages.pair()
        self.status, self.far_status = messages.pair()
        self.streams: List[int] = []
        self.directory_fd = -1
        self.pidfd = -1
        self.template: Optional[Template] = None  # which made it
        self.orphaned = False  # nobody tells of its end any more; see `await_death`
        self._reaped = False
        try:
            for name in ("stdin", "stdout", "stderr"):
                self.streams.append(os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING))
        except OSError:
            self.close()
            raise

    def await_ready(self, deadline: float) -> None:
        """Return when the child has every layer on and waits for its job.

        Raises:
            LayerError: a layer failed. SandboxError: the child or the template ended, or took too long.
        """
        try:
            while self.pidfd < 0:
                self.pidfd = self._expect(self.status, messages.FORKED, deadline).descriptors[0]
            if self.directory_fd < 0:
                self.directory_fd = self._expect(self.end, messages.HELLO, deadline).descriptors[0]
                self._expect(self.end, messages.LAYERS, deadline)
            if self.await_death(0):  # killed while it waited
                raise messages.WireError("it was killed")
        except (messages.WireError, OSError, IndexError) as error:
            raise SandboxError("a child ended before it was ready: %s" % error) from error

    @staticmethod
    def _expect(end: socket.socket, kind: str, deadline: float) -> messages.Message:
        end.settimeout(max(0.001, deadline - time.monotonic()))
        message = messages.receive(end)
        if message.kind == messages.FAILED:
            raise LayerError(str(message.payload["layer"]), str(message.payload["reason"]))
        if message.kind != kind:
            raise messages.WireError("%r where %r was due" % (message.kind, kind))
        return message

    def kill(self) -> None:
        """Send SIGKILL to everything of the run: the pid namespace with its first process, or the one process.

        Without a pid namespace the template kills the rest of the group before it reaps; see `await_death`. A child
        whose pidfd never came, for want of a descriptor perhaps, has no job yet and ends when it finds that none comes.
        """
        if self.pidfd < 0:
            self.end.close()
        self._signal(signal.SIGKILL)

    def stop(self) -> None:
        """Let the one process of a public run execute nothing more; it still stands, until it is killed."""
        self._signal(signal.SIGSTOP)

    def _signal(self, number: int) -> None:
        if self.pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):  # it has ended by itself
                libc.syscall("pidfd_send_signal", self.pidfd, number, None, 0)

    def receive_death(self) -> Death:
        """Return how the child ended, which waits to be read.

        Raises:
            WireError, OSError: the template ended instead.
        """
        payload = messages.receive(self.status).payload
        self._reaped = True
        return Death(int(payload["code"]), payload["cpu_limit_s"])

    def await_exit(self, timeout_s: float) -> bool:
        """Return whether the child's first process has ended within this time.

        As process 1 of a pid namespace it ends after every other process there.
        """
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        return bool(poll.poll(1000 * timeout_s))

    def await_death(self, timeout_s: float) -> bool:
        """Return whether the child was reaped, and its group killed, within this time; or else orphaned.

        Then its template ended, and it may take a moment more until all that this one left is dead.
        """
        if self._reaped:
            return True
        poll = select.poll()
        poll.register(self.status, select.POLLIN)
        deadline = time.monotonic() + timeout_s
        while poll.poll(1000 * max(0.0, deadline - time.monotonic())):
            word = self.status.recv(1, socket.MSG_PEEK)
            if word != messages.FORKED.encode():
                self.orphaned = not word
                return True
            self.status.recv(1)  # word of its birth that came too late; the pidfd in it is dropped
        return False

    def close(self) -> None:
        """Give back every descriptor; a child that still waits for a job ends."""
        for end in (self.end, self.far_end, self.status, self.far_status):
            end.close()
        for fd in self.streams + [self.directory_fd, self.pidfd]:
            if fd >= 0:
                os.close(fd)
        self.streams, self.directory_fd, self.pidfd = [], -1, -1


class Template:
    """The two templates, the plain one and the one with the libraries; one process as seen from here."""

    def __init__(self, config: Config) -> None:
        """Start them and wait until they are ready.

        Raises:
            SandboxError: it did not start, or this host leaves a danger uncovered; says what to do.
        """
        root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        # By whether the libraries are wanted.
        self._controls, far_controls = zip(messages.pair(), messages.pair())
        self._lock = threading.Lock()
        self.process = subprocess.Popen(
            # Names of files are UTF-8 even where the system has no C.UTF-8.
            [sys.executable, "-I", "-X", "utf8", "-c", _BOOT % root],
            stdin=far_controls[False].fileno(),
            stdout=subprocess.DEVNULL,
            env=zygote_environment(),
            cwd="/",
            start_new_session=True,  # no controlling terminal, and Ctrl-C is the server's to handle
        )
        far_controls[False].close()
        try:
            self.report = self._introduce(config, far_controls[True])
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """End a template that is not to serve, and return when it has ended.

        One that hangs does not see its sockets close; it has no run that would have to be ended before it.
        """
        self.close()
        try:
            self.process.wait(_END_S)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)  # both templates, and the process above
            self.process.wait()

    def _introduce(self, config: Config, second: socket.socket) -> Dict[str, Any]:
        settings = {
            "uid_base": config.uid_base,
            "modules": config.modules,
            "work_dir": os.path.abspath(config.work_dir),
            "budget": dataclasses.asdict(config.budget),
        }
        try:
            with second:
                messages.send(self._controls[False], messages.PLAN, settings, [second.fileno()])
            report: Dict[str, Any] = {}
            for control in self._controls:
                control.settimeout(_START_S)
                report.update(messages.receive(control).payload)
                if "error" in report:
                    raise SandboxError("The template could not prepare this host: %s." % report["error"])
                if "python" not in report:
                    break  # it leaves a danger uncovered; then there is no second one
        except (messages.WireError, OSError) as error:
            raise SandboxError("The template did not start: %s. Its own words stand above." % error) from error
        for control in self._controls:
            control.setblocking(False)  # a template that reads no orders must not hold those who have one to give
        return report

    def spawn(self, child: Child) -> None:
        """Have a child forked. Raises SandboxError if the template is gone, or has not read some hundred orders."""
        far = [child.far_end.fileno(), child.far_status.fileno()] + child.streams
        try:
            with self._lock:
                order = {"place": child.place, "admin": child.admin, "workdir": child.workdir}
                messages.send(self._controls[child.libraries], messages.SPAWN, order, far)
        except OSError as error:
            raise SandboxError("the template is gone") from error
        child.template = self
        child.far_end.close()
        child.far_status.close()

    def close(self) -> None:
        """Close the control sockets, which ends the templates and with them every child."""
        for control in self._controls:
            control.close()
