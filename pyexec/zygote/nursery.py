"""The nursery's loop: fork a zygote on request, and report its death once nothing is left of its runs.

The nursery has loaded what all zygotes share, so a heavier zygote costs no second interpreter, neither in memory nor at
the start, and yet lives, fails and is replaced independently of the others. It does nothing else, so its state is still
that of the start when another zygote is needed. It exits, with everything below it, when the server closes its socket.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
from typing import Any, NoReturn

from pyexec import messages
from pyexec.kernel import libc
from pyexec.zygote import overseer, row
from pyexec.zygote.overseer import Running

_DYING_POLL_MS = 5
_ENDS_MS = 2000


class Nursery:
    """Keeps track of the live zygotes, and of dead ones whose runs are still dying."""

    def __init__(self, control: socket.socket, nest: row.Nest) -> None:
        """Start without zygotes."""
        self._control, self._nest = control, nest
        self._zygotes: dict[int, Running] = {}
        self._ended: list[tuple[Running, int]] = []
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)

    def run(self) -> NoReturn:
        """Serve until the server closes the control socket."""
        while True:
            for fd, _ in self._poll.poll(_DYING_POLL_MS if self._ended else None):
                if fd in self._zygotes:
                    self._note_end(fd)
                elif fd == self._control.fileno():
                    self._take_order()
                else:
                    self._kill(fd)
            if self._ended and not self._any_left():
                for zygote, code in self._ended:
                    with contextlib.suppress(OSError):  # the server has closed its end and no longer needs this
                        os.write(zygote.status, messages.encode_death(messages.Death(code)))
                    os.close(zygote.status)
                self._ended.clear()

    def _any_left(self) -> bool:
        spared = [zygote.pid for zygote in self._zygotes.values()]
        return overseer.any_left(self._nest.proc_fd, spared, "pid" not in self._nest.host.namespaces)

    def _take_order(self) -> None:
        try:
            message = messages.receive(self._control)
        except (
            messages.CutOff
        ):  # no descriptor is left; those that did arrive are closed, so the server sees a dead zygote
            return
        except (messages.WireError, OSError):
            self._end()
        control, status = message.descriptors
        pid = 0
        try:
            pid = os.fork()
            if pid == 0:
                self._become(message.payload, control, status)
            pidfd = libc.syscall("pidfd_open", pid, 0)
            self._zygotes[pidfd] = Running(pid, pidfd, status)
            self._poll.register(pidfd, select.POLLIN)
            self._poll.register(status, select.POLLRDHUP)
        except OSError:
            if pid:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            os.close(status)
        finally:
            os.close(control)

    def _become(self, order: dict[str, Any], control: int, status: int) -> NoReturn:
        """Be a zygote; what the nursery has open for itself and for others is closed."""
        try:
            os.close(status)
            self._control.close()
            for other in list(self._zygotes.values()) + [ended for ended, _ in self._ended]:
                os.close(other.status)
            for pidfd in self._zygotes:
                os.close(pidfd)
            row.main(order["kind"], order["without"], order["gently"], socket.socket(fileno=control), self._nest)
        finally:
            os._exit(1)

    def _kill(self, status: int) -> None:
        """Kill the zygote of a status socket whose other end the server has shut: it hangs and can't be asked."""
        for zygote in self._zygotes.values():
            if zygote.status == status:
                self._poll.modify(status, 0)
                os.kill(zygote.pid, signal.SIGKILL)

    def _note_end(self, pidfd: int) -> None:
        zygote = self._zygotes.pop(pidfd)
        self._poll.unregister(pidfd)
        self._poll.unregister(zygote.status)
        _, status = os.waitpid(zygote.pid, 0)
        os.close(pidfd)
        self._ended.append((zygote, overseer.exit_code(status)))

    def _end(self) -> NoReturn:
        """Exit after the zygotes, whose sockets the server has closed too. Kills one that hangs."""
        poll = select.poll()
        for zygote in self._zygotes.values():
            poll.register(zygote.pidfd, select.POLLIN)
            if not poll.poll(_ENDS_MS):
                os.kill(zygote.pid, signal.SIGKILL)
            os.waitpid(zygote.pid, 0)
            poll.unregister(zygote.pidfd)
        os._exit(0)
