"""The template process and its waiting children, as the server holds them.

One child waits for each slot, forked and confined ahead of time; admin children are made on demand. A keeper thread
starts the template, waits for its end, and starts another, a bounded number of times a minute. The kernel sends a
parent-death signal when the *thread* that forked ends: that is why the keeper, who lives as long as the server, forks.
"""

from __future__ import annotations

import collections
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
from typing import Any, Callable, Deque, Dict, List, Optional

from pyexec import wire, workspace
from pyexec.config import Config, template_environment
from pyexec.errors import LayerError, SandboxError
from pyexec.kernel import libc

_START_S = 60.0
_READY_S = 20.0
_RESTARTS_A_MINUTE = 10
_BOOT = "import sys; sys.path.append(%r); from pyexec import forkserver; forkserver.main()"


class Child:
    """A waiting or running child: its sockets, in-memory streams, directory and process, all by descriptor."""

    def __init__(self, place: int, admin: bool, workdir: str) -> None:
        """Make the server's half of a child; `Template.spawn` sends the other half out."""
        self.place, self.admin, self.workdir = place, admin, workdir
        self.end, self.far_end = wire.pair()
        self.status, self.far_status = wire.pair()
        self.streams = [os.memfd_create(name, os.MFD_CLOEXEC) for name in ("stdin", "stdout", "stderr")]
        self.directory_fd = -1
        self.pidfd = -1

    def await_ready(self, deadline: float) -> None:
        """Return when the child has every layer on and waits for its job.

        Raises:
            LayerError: a layer failed. SandboxError: the child or the template ended, or took too long.
        """
        try:
            while self.pidfd < 0:
                self.pidfd = self._expect(self.status, wire.FORKED, deadline).descriptors[0]
            if self.directory_fd < 0:
                self.directory_fd = self._expect(self.end, wire.HELLO, deadline).descriptors[0]
                self._expect(self.end, wire.LAYERS, deadline)
            if self.await_death(0):  # killed while it waited
                raise wire.WireError("it was killed")
        except (wire.WireError, OSError, IndexError) as error:
            raise SandboxError("a child ended before it was ready: %s" % error) from error

    @staticmethod
    def _expect(end: socket.socket, kind: str, deadline: float) -> wire.Message:
        end.settimeout(max(0.001, deadline - time.monotonic()))
        message = wire.receive(end)
        if message.kind == wire.FAILED:
            raise LayerError(str(message.payload["layer"]), str(message.payload["reason"]))
        if message.kind != kind:
            raise wire.WireError("%r where %r was due" % (message.kind, kind))
        return message

    def kill(self) -> None:
        """Send SIGKILL to everything of the run: the pid namespace with its first process, or the one process.

        Without a pid namespace the template kills the rest of the group before it reaps; see `await_death`.
        """
        if self.pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):  # it has ended by itself
                libc.syscall("pidfd_send_signal", self.pidfd, signal.SIGKILL, None, 0)

    def await_death(self, timeout_s: float) -> bool:
        """Return whether the child was reaped, and its group killed, within this time."""
        poll = select.poll()
        poll.register(self.status, select.POLLIN)
        return bool(poll.poll(timeout_s * 1000))

    def close(self) -> None:
        """Give back every descriptor; a child that still waits for a job ends."""
        for end in (self.end, self.far_end, self.status, self.far_status):
            end.close()
        for fd in self.streams + [self.directory_fd, self.pidfd]:
            if fd >= 0:
                os.close(fd)
        self.streams, self.directory_fd, self.pidfd = [], -1, -1


class Template:
    """The template process."""

    def __init__(self, config: Config) -> None:
        """Start it and wait until it is ready.

        Raises:
            SandboxError: it did not start, or this host leaves a danger uncovered; says what to do.
        """
        root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        self._control, far_control = wire.pair()
        self._lock = threading.Lock()
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-c", _BOOT % root],
            stdin=far_control.fileno(),
            stdout=subprocess.DEVNULL,
            env=template_environment(),
            cwd="/",
            start_new_session=True,  # no controlling terminal, and Ctrl-C is the server's to handle
        )
        far_control.close()
        try:
            self.report = self._introduce(config)
        except BaseException:
            self.close()
            self.process.wait()
            raise

    def _introduce(self, config: Config) -> Dict[str, Any]:
        settings = {
            "uid_base": config.uid_base,
            "modules": config.modules,
            "work_dir": os.path.abspath(config.work_dir),
            "budget": dataclasses.asdict(config.budget),
        }
        try:
            self._control.settimeout(_START_S)
            wire.send(self._control, wire.PLAN, settings)
            report = wire.receive(self._control).payload
        except (wire.WireError, OSError) as error:
            raise SandboxError("The template did not start: %s. Its own words stand above." % error) from error
        if "error" in report:
            raise SandboxError("The template could not prepare this host: %s." % report["error"])
        return dict(report)

    def spawn(self, child: Child) -> None:
        """Have a child forked. Raises SandboxError if the template is gone."""
        far = [child.far_end.fileno(), child.far_status.fileno()] + child.streams
        try:
            with self._lock:
                order = {"place": child.place, "admin": child.admin, "workdir": child.workdir}
                wire.send(self._control, wire.SPAWN, order, far)
        except OSError as error:
            raise SandboxError("the template is gone") from error
        child.far_end.close()
        child.far_status.close()

    def close(self) -> None:
        """Close the control socket, which ends the template and with it every child."""
        self._control.close()


class Pool:
    """The children that wait for jobs, and the template that makes them."""

    def __init__(self, config: Config, base: "Optional[workspace.Base]" = None) -> None:
        """Start everything and wait until one child a slot is ready.

        Raises:
            SandboxError, LayerError: something could not start.
        """
        self._config = config
        self._changed = threading.Condition()
        self._waiting: Deque[Child] = collections.deque()
        self._free_admin_places = list(range(config.max_runs, 2 * config.max_runs))
        self._template: Optional[Template] = None
        self._failure: Optional[BaseException] = None
        self._closing = False
        self._base: Optional[workspace.Base] = base
        self._serial = 0
        self.restarts = 0
        self._starts: Deque[float] = collections.deque()
        self._keeper = threading.Thread(target=self._keep, name="pyexec-keeper", daemon=True)
        self._keeper.start()
        with self._changed:
            self._changed.wait_for(lambda: self._template is not None or self._failure is not None)
        if self._failure is not None:
            raise self._failure
        deadline = time.monotonic() + _READY_S
        try:
            for child in list(self._waiting):
                child.await_ready(deadline)
        except BaseException:
            self.close()
            raise

    @property
    def report(self) -> Dict[str, Any]:
        """What the running template said of the host, or of the last one if none runs."""
        return self._report

    def ready(self) -> bool:
        """Return whether a run could start now, or soon: the template lives."""
        return self._template is not None

    def waiting(self) -> int:
        """Return how many children wait for a job."""
        return len(self._waiting)

    def take(self, admin: bool, deadline: float) -> Child:
        """Return a ready child, the longest waiting first.

        Raises:
            LayerError: a child could not be confined. SandboxError: none came in time.
        """
        while True:
            child = self._make_admin(deadline) if admin else self._next(deadline)
            try:
                child.await_ready(deadline)
                return child
            except SandboxError:
                # The child died while waiting, with the template perhaps; nothing of the job has been sent.
                self.give_back(child)
                if time.monotonic() >= deadline:
                    raise
            except BaseException:
                self.give_back(child)
                raise

    def _next(self, deadline: float) -> Child:
        with self._changed:
            self._await(lambda: bool(self._waiting), deadline)
            return self._waiting.popleft()

    def _make_admin(self, deadline: float) -> Child:
        with self._changed:
            self._await(lambda: bool(self._free_admin_places) and self._template is not None, deadline)
            child = self._new_child(self._free_admin_places.pop(0), True)
            template = self._template
        assert template is not None
        try:
            template.spawn(child)
        except SandboxError:  # it has just ended; `await_ready` finds that out, and `take` tries again
            child.far_end.close()
            child.far_status.close()
        return child

    def _await(self, condition: Callable[[], bool], deadline: float) -> None:
        """Wait, holding the lock in between, until a condition holds. Raises SandboxError if it doesn't in time."""
        if not self._changed.wait_for(lambda: condition() or self._closing, max(0.0, deadline - time.monotonic())):
            raise SandboxError("no child became ready in time")
        if self._closing:
            raise SandboxError("the sandbox is closed")

    def _new_child(self, place: int, admin: bool) -> Child:
        self._serial += 1
        workdir = self._base.path_of("run-%d" % self._serial) if self._base else ""
        return Child(place, admin, workdir)

    def give_back(self, child: Child) -> None:
        """Kill what is left of a run, order the next child for its place, remove its directory."""
        child.kill()
        if not child.admin:
            self._refill(child.place)
        if self._base is not None or child.admin:
            # Nothing must write to a directory that is being removed, nor count as a process of the next run there.
            child.await_death(_READY_S)
        if child.admin:
            with self._changed:
                self._free_admin_places.append(child.place)
                self._changed.notify_all()
        if self._base is not None:
            self._base.remove(os.path.basename(child.workdir))
        child.close()

    def _refill(self, place: int) -> None:
        with self._changed:
            if self._template is None or self._closing:
                return
            child = self._new_child(place, False)
            try:
                self._template.spawn(child)
            except SandboxError:  # the keeper will notice, and fill the pool anew
                child.close()
            else:
                self._waiting.append(child)
                self._changed.notify_all()

    def _keep(self) -> None:
        """Keep a template running until closed; in the keeper thread."""
        while True:
            try:
                template = Template(self._config)
                self._check_floor(template)
            except Exception as error:  # whatever it is: the thread that waits for us must hear of it
                with self._changed:
                    first = not self._starts
                    self._failure = error if first else None
                    self._changed.notify_all()
                    if first or self._closing:
                        return
                print("pyexec: the template did not restart: %s" % error, file=sys.stderr, flush=True)
                self._pause()
                continue
            self._fill(template)
            template.process.wait()
            with self._changed:
                self._template = None
                left, self._waiting = list(self._waiting), collections.deque()
                closing = self._closing
            template.close()
            for child in left:
                child.close()
            if closing:
                return
            self.restarts += 1
            print("pyexec: the template ended unexpectedly; starting another", file=sys.stderr, flush=True)
            self._pause()

    def _check_floor(self, template: Template) -> None:
        bare = [row for row in template.report["dangers"] if not row["layers"]]
        on = {row["name"] for row in template.report["layers"] if row["on"]}
        missing = sorted(set(self._config.expect_layers) - on)
        reasons = ["nothing here would stop a script that tries to %s: %s" % (row["danger"], row["remedy"]) for row in bare]
        if missing:
            reasons.append("expected layers are missing: %s" % ", ".join(missing))
        if reasons:
            template.close()
            template.process.wait()
            raise SandboxError("pyexec does not start on this host. " + "; ".join(reasons) + ".")
        self._report = template.report
        if "mount" not in template.report["namespaces"] and self._base is None:
            self._base = workspace.Base(self._config.work_dir)

    def _fill(self, template: Template) -> None:
        with self._changed:
            self._starts.append(time.monotonic())
            if self._closing:
                template.close()
                return
            children: List[Child] = []
            try:
                for place in range(self._config.max_runs):
                    children.append(self._new_child(place, False))
                    template.spawn(children[-1])
            except SandboxError:
                for child in children:
                    child.close()
                return
            self._template = template
            self._waiting.extend(children)
            self._changed.notify_all()

    def _pause(self) -> None:
        """Wait until another start keeps within the bound a minute."""
        with self._changed:
            while len(self._starts) >= _RESTARTS_A_MINUTE and not self._closing:
                left = self._starts[0] + 60 - time.monotonic()
                if left <= 0:
                    self._starts.popleft()
                else:
                    self._changed.wait(left)

    def close(self) -> None:
        """End the template and all children, and remove what they left. Waits for the keeper."""
        with self._changed:
            self._closing = True
            template = self._template
            self._changed.notify_all()
        if template is not None:
            template.close()
        self._keeper.join()
        if self._base is not None:
            self._base.close()
