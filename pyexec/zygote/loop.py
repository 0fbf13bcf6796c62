"""A zygote's loop: fork a child for each order, and report how it ended once it and everything it left is reaped.

The heap is shared with all children, and each turn copies the pages that it writes to, so it does as little as
possible: orders and deaths have a fixed form, a child's confinement is prepared once per slot, and a child is a few
numbers. It is single-threaded and never sees a byte of a request. `row` builds it; `start` says who closes which
descriptor.
"""

from __future__ import annotations

import array
import contextlib
import gc
import os
import select
import signal
import socket
import struct
import time
from typing import Callable, NamedTuple, NoReturn

from pyexec import messages
from pyexec.child import main as child
from pyexec.kernel import libc, namespaces
from pyexec.zygote import overseer
from pyexec.zygote.overseer import Running

_DYING_POLL_MS = 5
# The OOM killer is to pick a run first, then the zygotes, then the server.
OWN_BADNESS, BADNESS_OF_RUNS = b"500", b"1000"


_LONGEST = 256
_SPACE = socket.CMSG_SPACE(8 * array.array("i").itemsize)
_FIVE = struct.Struct("5i")
_PROCESSORS = os.cpu_count() or 1
_SIGKILL = int(signal.SIGKILL)
_KILLED = messages.encode_death(messages.Death(-_SIGKILL))


class Prepared(NamedTuple):
    """An order, the calls that confine its child, and the child's CPU time limit in seconds."""

    order: messages.Order
    calls: tuple[libc.Call, ...]
    cpu_limit_s: int


class Loop:
    """The state of a serving zygote."""

    def __init__(
        self,
        control: socket.socket,
        prepare: Callable[[messages.Order], Prepared],
        kit: child.Kit,
        gate: namespaces.PidGate | None,
        badness_fd: int,
        log: Callable[[str], None],
    ) -> None:
        """Store what has been prepared.

        Args:
            prepare: returns the confinement for an order. gate: puts each child into its own pid namespace, if there
                are any. badness_fd: open for writing the zygote's oom_score_adj. log: writes a line and never fails.
        """
        self._control, self._prepare, self._kit, self._gate = control, prepare, kit, gate
        self._badness_fd, self.log = badness_fd, log
        self._prepared: dict[bytes, Prepared] = {}
        # pidfd → pid, status socket, CPU time limit in seconds, and when the child may have used half of that
        self._running: dict[int, tuple[int, int, int, float]] = {}
        self._reaper = libc.Reaper()
        self._groups = overseer.Groups()
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)

    def run(self) -> NoReturn:
        """Serve until the server closes the control socket."""
        poll, running, reaper, monotonic = self._poll.poll, self._running, self._reaper, time.monotonic
        groups = self._groups if self._gate is None else None
        while True:
            for fd, _ in poll(_DYING_POLL_MS if groups else None):
                if fd in running:
                    self._poll.unregister(fd)
                    pid, told, cpu_limit_s, old = running.pop(fd)
                    if groups is not None:
                        groups.note(Running(pid, fd, told, cpu_limit_s), self._reaper)
                    else:
                        # The common case: killed by the server, and too young to have reached its CPU time limit.
                        if monotonic() > old:
                            _tell(fd, told, overseer.death(reaper, pid, cpu_limit_s))
                            continue
                        status = os.waitpid(pid, 0)[1]
                        _tell(fd, told, _KILLED if status == _SIGKILL else overseer.encoded(status, 0))
                    continue
                try:
                    packet, ancillary, flags, _ = self._control.recvmsg(_LONGEST, _SPACE, messages.CLOSE_ON_EXEC)
                except OSError:
                    self._end()
                if not packet:
                    self._end()
                data = ancillary[0][2] if ancillary else b""
                descriptors = (_FIVE if len(data) == _FIVE.size else struct.Struct(f"{len(data) // 4}i")).unpack(data)
                if flags & messages.CUT_OFF:
                    # The descriptors that did arrive are closed, so the server sees a dead child. Other runs go on.
                    for each in descriptors:
                        os.close(each)
                    self.log("no descriptor is left for a child")
                    continue
                self.spawn(packet, descriptors)
            if groups:
                for dead, death in groups.gone():
                    _tell(dead.pidfd, dead.status, death)

    def _end(self) -> NoReturn:
        """Exit; each child has a parent-death signal, and what it has forked is killed here or by the overseer."""
        if self._gate is None:
            for pidfd, (pid, *_) in self._running.items():
                with contextlib.suppress(OSError):
                    overseer.kill_group(pid, pidfd)
        os._exit(0)

    def spawn(self, packet: bytes, descriptors: tuple[int, ...]) -> None:
        """Fork the child of an order. If that fails, its sockets are closed, so the server sees a dead child."""
        status, pid = descriptors[1], 0
        try:
            order, calls, cpu_limit_s = self._prepared.get(packet) or self._make_ready(packet)
            os.pwrite(self._badness_fd, BADNESS_OF_RUNS, 0)
            if self._gate is not None:
                self._gate.enter_for_next_fork()
            pid = os.fork()
            if pid == 0:
                child.main(calls, descriptors[:1] + descriptors[2:], order, self._kit, cpu_limit_s)
            pidfd = libc.pidfd_open(pid)
            self._running[pidfd] = pid, status, cpu_limit_s, time.monotonic() + cpu_limit_s / (2 * _PROCESSORS)
            self._poll.register(pidfd, select.POLLIN)
        except (OSError, RuntimeError, messages.WireError) as error:
            self.log(f"a zygote can't create a child: {error}")
            if pid:  # forked, but no descriptor was left for its pidfd
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            os.close(status)
        finally:
            if self._gate is not None:
                self._gate.leave()
            os.pwrite(self._badness_fd, OWN_BADNESS, 0)
            for fd in descriptors:
                if fd != status:
                    os.close(fd)

    def _make_ready(self, packet: bytes) -> Prepared:
        """Prepare an order's child, and keep that unless its directory is on disk. Raises OSError, WireError."""
        order = messages.decode_order(packet)
        prepared = self._prepare(order)
        if not order.path:
            self._prepared[packet] = prepared
            # Else garbage collection in each child would visit it, and copy its pages.
            gc.freeze()
        return prepared


def _tell(pidfd: int, told: int, packet: bytes) -> None:
    """Report the death of a child of which nothing is left, and close its descriptors."""
    try:
        os.write(told, packet)
    except OSError:  # the server has closed its end and no longer needs this
        pass
    os.close(told)
    os.close(pidfd)
