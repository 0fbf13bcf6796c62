"""The nursery's loop: fork a zygote when told to, and say that one has ended once nothing is left of its runs.

It has loaded what all zygotes share, and each goes on from there by itself: a heavier one costs no second interpreter,
neither in memory nor at the start, and lives, fails and is replaced without the others. The nursery forks nothing else
and does nothing in between, so that it is as it was on the first day when another is wanted. It ends when the server
closes its socket, and with it all below.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
from typing import NoReturn

from pyexec import messages
from pyexec.kernel import libc
from pyexec.zygote import overseer, row
from pyexec.zygote.overseer import Running

_DYING_POLL_MS = 5
_ENDS_MS = 2000


class Nursery:
    """The zygotes that live, and those that have ended and left something that is still dying."""

    def __init__(self, control: socket.socket, nest: row.Nest) -> None:
        """Begin with none."""
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
                else:
                    self._take_order()
            if self._ended and not self._any_left():
                for zygote, code in self._ended:
                    with contextlib.suppress(OSError):  # the server no longer wants to know
                        os.write(zygote.status, messages.encode_death(messages.Death(code)))
                    os.close(zygote.status)
                self._ended.clear()

    def _any_left(self) -> bool:
        spared = [zygote.pid for zygote in self._zygotes.values()]
        return overseer.any_left(self._nest.proc_fd, spared, "pid" not in self._nest.host.namespaces)

    def _take_order(self) -> None:
        try:
            message = messages.receive(self._control)
        except messages.CutOff:  # no descriptor is left; the server takes what is closed for a zygote that ended
            return
        except (messages.WireError, OSError):
            self._end()
        control, status = message.descriptors
        pid = 0
        try:
            pid = os.fork()
            if pid == 0:
                self._become(message.payload["kind"], message.payload["gently"], control, status)
            pidfd = libc.syscall("pidfd_open", pid, 0)
            self._zygotes[pidfd] = Running(pid, pidfd, status)
            self._poll.register(pidfd, select.POLLIN)
        except OSError:
            if pid:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            os.close(status)
        finally:
            os.close(control)

    def _become(self, kind: str, gently: bool, control: int, status: int) -> NoReturn:
        """Be a zygote; what the nursery has open for itself and for others is closed."""
        try:
            os.close(status)
            self._control.close()
            for other in list(self._zygotes.values()) + [ended for ended, _ in self._ended]:
                os.close(other.status)
            for pidfd in self._zygotes:
                os.close(pidfd)
            row.main(kind, socket.socket(fileno=control), self._nest, gently)
        finally:
            os._exit(1)

    def _note_end(self, pidfd: int) -> None:
        zygote = self._zygotes.pop(pidfd)
        self._poll.unregister(pidfd)
        _, status = os.waitpid(zygote.pid, 0)
        os.close(pidfd)
        self._ended.append((zygote, overseer.exit_code(status)))

    def _end(self) -> NoReturn:
        """End, once the zygotes have: the server has closed their sockets too. One that hangs is killed."""
        poll = select.poll()
        for zygote in self._zygotes.values():
            poll.register(zygote.pidfd, select.POLLIN)
            if not poll.poll(_ENDS_MS):
                os.kill(zygote.pid, signal.SIGKILL)
            os.waitpid(zygote.pid, 0)
            poll.unregister(zygote.pidfd)
        os._exit(0)
