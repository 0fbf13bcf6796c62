"""Handle of a child: the server's sockets and descriptors, its signals, and its events. No thread, no decisions.

Two sockets tell what happens to a child. On the *channel* it speaks for itself, and once it has a job that is hearsay:
the script may have written it. The *status socket* is held by its zygote and carries one message, about the child's
death, once nothing of the run is left; end of file means that the zygote has ended too. The pidfd is only for signals.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import time

from pyexec import messages
from pyexec.errors import LayerError, SandboxError
from pyexec.kernel import libc
from pyexec.messages import WireError
from pyexec.presence import Presence
from pyexec.runs import processes
from pyexec.runs.events import REPORTED, Abandoned, Died, Ended, Event, Forbidden, Late, Lost, Unbegun
from pyexec.runs.hearsay import Hearsay
from pyexec.runs.processes import Process
from pyexec.runs.slots import Slot
from pyexec.runs.workdirs_on_disk import RunDirectory
from pyexec.runs.zygote_handles import ZygoteHandle

_LAST_WORD_MS = 1000
_PIDFD_SIGNAL_PROCESS_GROUP = 4  # Linux 6.9


class ChildHandle:
    """A waiting or running child: channel, status, in-memory streams, directory and process, all by descriptor."""

    def __init__(self, slot: Slot, admin: bool, directory: RunDirectory | None = None) -> None:
        """Create the server's half of a child; `order_from` sends the other half to a zygote. Raises OSError."""
        self.slot, self.admin, self.directory = slot, admin, directory
        self.zygote: ZygoteHandle | None = None  # the one that was to fork it
        self.streams: list[int] = []
        self.directory_fd = directory.work_fd if directory is not None else -1
        self.hearsay = Hearsay()
        self.pidfd = self._stat_fd = -1
        self.ready = self._greeted = False
        self._dead: messages.Death | None = None
        self._lost = False
        self.channel, self._far_channel = messages.pair()
        self.status, self._far_status = messages.pair()
        try:
            for name in ("stdin", "stdout", "stderr"):
                self.streams.append(os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING))
        except BaseException:
            self.close()
            raise
        self._presence: Presence | None = None
        self._poll = select.poll()
        self._poll.register(self.channel, select.POLLIN)
        self._poll.register(self.status, select.POLLIN)

    def order_from(self, zygote: ZygoteHandle) -> None:
        """Have a zygote fork it. Raises OSError: the zygote has ended; nothing was sent."""
        descriptors = (self._far_channel.fileno(), self._far_status.fileno(), *self.streams)
        path = ""
        if self.directory is not None:
            descriptors, path = (*descriptors, self.directory.fd), self.directory.path
        try:
            zygote.send_order(messages.Order(self.slot.index, self.admin, path), descriptors)
            self.zygote = zygote
            zygote.note_child(1)
        finally:
            self._far_channel.close()
            self._far_status.close()

    def await_ready(self, deadline: float) -> None:
        """Return once the child is confined and waits for its job.

        Raises:
            LayerError: a layer failed. SandboxError: the child or its zygote ended, or took too long.
        """
        try:
            while not self.ready:
                self._receive_before_job(deadline)
            self._check_that_it_waits()
        except (WireError, OSError) as error:
            raise SandboxError(f"a child ended before it was ready: {error}") from error

    def look(self) -> None:
        """Process the messages that have arrived.

        Raises:
            LayerError, SandboxError: the child is unusable, as for `await_ready`.
        """
        try:
            while not self.ready and self._waits(self.channel, 0):
                self._receive_before_job(0.0)
            self._check_that_it_waits()
        except (WireError, OSError) as error:
            raise SandboxError(f"a child ended before it was ready: {error}") from error

    def _check_that_it_waits(self) -> None:
        # A waiting child says nothing: a word can only be an admin run's supervisor's, about the script's process.
        if self.dead_or_lost() or (self.ready and self._waits(self.channel, 0)):
            raise WireError("it was killed while it waited")

    def _receive_before_job(self, deadline: float) -> None:
        """Receive the next message. The child has not seen a byte of a request yet, so it can be trusted."""
        try:
            message = messages.receive(self.channel, messages.DONT_WAIT)
        except BlockingIOError:
            if not self._poll.poll(1000 * max(0.0, deadline - time.monotonic())):
                raise WireError("it took too long") from None
            # It may have sent the reason just before its zygote reported its death.
            if self.dead_or_lost() and not self._waits(self.channel, 0):
                raise WireError("its process ended") from None
            return
        if message.kind == messages.HELLO:
            self.pidfd, *others = message.descriptors
            if others:
                (self.directory_fd,) = others
            self._greeted = True
            with contextlib.suppress(OSError):  # no descriptor is left for it; `first_process` tries again
                self._stat_fd = processes.open_stat(self.pidfd)
        elif message.kind == messages.LAYERS:
            self.ready = self.pidfd >= 0
        elif message.kind == messages.FAILED:
            raise LayerError(str(message.payload["layer"]), str(message.payload["reason"]))
        else:
            raise WireError(f"{message.kind!r} where word of the layers was due")

    def send_job(self, packet: bytes = messages.encode(messages.JOB)) -> None:
        """Tell the child that its job is there, by a JOB. Raises OSError: it has ended."""
        messages.send_packet(self.channel, packet, (), messages.DONT_WAIT)
        if self.zygote is not None:
            self.zygote.has_served = True

    def watch_caller(self, presence: Presence) -> None:
        """From now on tell, as an event, when whoever asked for the run has gone."""
        self._presence = presence
        self._poll.register(presence.fileno(), presence.events)

    def first_process(self) -> Process | None:
        """Return the run's first process; None if it has been reaped or `/proc` hides it."""
        if self._stat_fd < 0 <= self.pidfd:  # no descriptor was left for it before
            self._stat_fd = processes.open_stat(self.pidfd)
        return processes.read_stat(self._stat_fd) if self._stat_fd >= 0 else None

    def next_event(self, deadline: float) -> Event:
        """Return the run's next event; one that has happened comes before `Late`, however late this is called."""
        while True:
            ready = dict(self._poll.poll(1000 * max(0.0, deadline - time.monotonic())))
            if not ready:
                return Late()
            if self.channel.fileno() in ready:
                event = self._own_word()
                if event is REPORTED:
                    continue
                if event is not None:
                    return event
                self._poll.unregister(self.channel)  # closed, or nonsense: only its death counts from here on
            elif self._presence is not None and self._presence.fileno() in ready:
                if self._presence.is_gone(ready[self._presence.fileno()]):
                    return Abandoned()
                self._poll.modify(self._presence.fileno(), self._presence.events)
            elif self.dead_or_lost():
                if self._dead is not None:
                    return Died(*self._dead)
                # It dies with its zygote, at once or in a moment. It may have sent a last message, or have no job yet.
                self.kill()
                while self._waits(self.channel, _LAST_WORD_MS):
                    event = self._own_word()
                    if event is not REPORTED:
                        return event or Lost()
                return Lost()

    def _own_word(self) -> Event | None:
        """Return what the run reports; None if the message, which hostile code may have written, is invalid."""
        try:
            message = messages.receive(self.channel, messages.DONT_WAIT)
            for fd in message.descriptors:
                os.close(fd)
            payload = message.payload
        except ConnectionResetError:
            return Unbegun()  # its job is still unread
        except (WireError, OSError):
            return None
        if not isinstance(payload, dict):
            return None
        if message.kind == messages.REPORT:
            return REPORTED if self.hearsay.take(payload) else None
        if message.kind == messages.EXIT:
            code, limit = payload.get("code"), payload.get("cpu_limit_s")
            if type(code) is not int or not -64 <= code <= 255:
                return None
            return Ended(code, payload.get("moments"), limit if self.admin and type(limit) is int and limit > 0 else 0)
        if message.kind == messages.FORBIDDEN and not self.admin:
            names = payload.get("modules")
            if isinstance(names, list) and 0 < len(names) <= 100 and all(isinstance(name, str) for name in names):
                return Forbidden(tuple(name.encode("utf-8", "replace").decode("utf-8")[:200] for name in names))
        return None

    @staticmethod
    def _waits(end: socket.socket, patience_ms: float) -> bool:
        poll = select.poll()
        poll.register(end, select.POLLIN)
        return bool(poll.poll(patience_ms))

    def kill(self) -> None:
        """Kill the run: its whole pid namespace, or else its first process and, from Linux 6.9 on, its process group.

        Without a pid namespace the zygote kills the rest of the group, too, before it reaps; see `gone`. A child
        whose pidfd never arrived, for lack of descriptors perhaps, has no job yet and exits when the channel closes.
        """
        if self.pidfd < 0:
            self.channel.close()
        if self.admin:
            # At once, since threads grow in number until the zygote has noticed. Before Linux 6.9 that is left to it.
            with contextlib.suppress(OSError):
                self.signal_all(signal.SIGKILL)
        self._signal(signal.SIGKILL, 0)

    def stop(self) -> None:
        """Stop every process of the run, so that none executes anything more until it is killed.

        For runs of processes with one thread each: of several threads the others stop when they are next scheduled.
        """
        self.signal_all(signal.SIGSTOP)

    def signal_all(self, number: int) -> None:
        """Send a signal to every process of the run. Raises OSError: not all of an admin run can be reached."""
        self._signal(number, _PIDFD_SIGNAL_PROCESS_GROUP if self.admin else 0)

    def _signal(self, number: int, flags: int) -> None:
        if self.pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):  # it has exited
                libc.syscall("pidfd_send_signal", self.pidfd, number, None, flags)

    def dead_or_lost(self) -> bool:
        """Read the status socket; return whether the whole run has been reaped, or that can't be known any more."""
        if self._dead is None and not self._lost:
            try:
                said, _ = messages.receive_packet(self.status, messages.DONT_WAIT)
                self._dead = messages.decode_death(said)
            except BlockingIOError:
                return False
            except (WireError, OSError):
                self._lost = True
        return True

    def gone(self) -> bool:
        """Return whether nothing of the run is left, according to its zygote or, if that has ended, the nursery."""
        if self.zygote is None or not self.dead_or_lost():
            return self.zygote is None
        # End of file while the zygote lives: it couldn't fork the child. If that said hello, its death is reported.
        return self._dead is not None or self.zygote.gone() or (not self._greeted and self.zygote.alive())

    def await_gone(self, timeout_s: float) -> bool:
        """Wait for the zygote's report that nothing of the run is left; return whether it came in time."""
        deadline = time.monotonic() + timeout_s
        while not self.dead_or_lost():
            if not self._waits(self.status, 1000 * max(0.0, deadline - time.monotonic())):
                return False
        return self._dead is not None

    def close_all_but_status(self) -> None:
        """Close every descriptor except the status socket; a child that still waits for a job exits."""
        for end in (self.channel, self._far_channel, self._far_status):
            end.close()
        own = [] if self.directory is not None else [self.directory_fd]
        for fd in self.streams + own + [self.pidfd, self._stat_fd]:
            if fd >= 0:
                os.close(fd)
        self.streams, self.directory_fd, self.pidfd, self._stat_fd = [], -1, -1, -1
        if self.directory is not None:
            self.directory.close()

    def close(self) -> None:
        """Close every descriptor."""
        self.close_all_but_status()
        self.status.close()
