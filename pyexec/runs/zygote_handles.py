"""Handles of the nursery and of a zygote: the server's sockets to them, and one process. No thread, no decisions.

Two sockets tell of a zygote's end. Its control socket, which carries its orders, reaches end of file when the zygote
exits; the status socket, held by the nursery, carries a message once nothing is left of any of the zygote's runs, and
is shut by the server to have a zygote that hangs killed. If the nursery itself has ended, everything is gone when the
process that the server started has exited.
"""

from __future__ import annotations

import dataclasses
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import Any, Sequence

from pyexec import messages
from pyexec.config import Config
from pyexec.errors import SandboxError
from pyexec.job import HostReport
from pyexec.messages import WireError
from pyexec.runs.environment import zygote_environment
from pyexec.runs.slots import POOLS

_START_S, _END_S = 60.0, 5.0
# What each name has in the zygote (`zygote/added.py`), and what the kernel has to kill one that takes longer.
_IMPORT_S, _KILLED_S = 60.0, 15.0
# First on the path, so that the zygotes are of this very copy of the package, whatever else is installed.
_BOOT = "import sys; sys.path.insert(0, %r); from pyexec.zygote import start; start.main()"


class NurseryHandle:
    """The process that all zygotes are forked from."""

    def __init__(self, config: Config, gently: bool = False) -> None:
        """Start it; `receive_report` receives its first message. Raises OSError.

        Args:
            gently: at the lowest priority until then, where that can be undone.
        """
        root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        self.control, far = messages.pair()
        self.due = time.monotonic() + _START_S
        self.report: HostReport | None = None
        try:
            with far:
                self.process = subprocess.Popen(
                    # Names of files are UTF-8 even where the system has no C.UTF-8.
                    [sys.executable, "-I", "-X", "utf8", "-c", _BOOT % root],
                    stdin=far.fileno(),
                    stdout=subprocess.DEVNULL,
                    env=zygote_environment(),
                    cwd="/",
                    start_new_session=True,  # no controlling terminal, and Ctrl-C is the server's to handle
                )
            settings = {
                "uid_base": config.uid_base,
                "slots": POOLS * config.max_runs,
                "modules": config.modules,
                "preload": config.preload,
                "data": config.data,
                "work_dir": os.path.abspath(config.work_dir),
                "budget": dataclasses.asdict(config.budget),
                "gently": gently,
            }
            self.send(messages.PLAN, settings)
        except BaseException:
            self.control.close()
            raise

    def send(self, kind: str, payload: Any, descriptors: tuple[int, ...] = ()) -> None:
        """Send a message, to be read once the nursery is ready. If it has ended, `ended` will say so."""
        try:
            messages.send(self.control, kind, payload, descriptors)
        except (BrokenPipeError, ConnectionResetError):
            return

    def receive_report(self) -> None:
        """Receive the first message, if it has arrived.

        Raises:
            SandboxError: the nursery can't run here, has ended, or takes too long; says what to do.
        """
        said = _ready_word(self.control, self.due, "nursery")
        if said is not None:
            # One that leaves a danger uncovered says no more than that, and ends.
            self.report = HostReport.of_message(dict({"python": ""}, **said))

    def ended(self) -> bool:
        """Return whether it has ended, and with it every zygote and run."""
        return self.process.poll() is not None

    def end(self) -> None:
        """End it with everything below it and wait for that; kill it if it hangs."""
        self.control.close()
        try:
            self.process.wait(_END_S)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)  # the zygotes too, and the process above
            self.process.wait()


class LeftOut(SandboxError):
    """A zygote ended because a name that it was to load can't be in a process that forks runs."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name} can't be loaded ahead of the runs: {reason}")
        self.name, self.reason = name, reason


def _ready_word(control: socket.socket, due: float, what: str) -> dict[str, Any] | None:
    try:
        try:
            message = messages.receive(control, messages.DONT_WAIT)
        except ConnectionResetError:
            # It exited before reading everything, which the kernel reports first; its last message comes next.
            message = messages.receive(control, messages.DONT_WAIT)
        said = message.payload
    except BlockingIOError:
        if time.monotonic() > due:
            raise SandboxError(f"The {what} did not start in time. Its own words stand above.") from None
        return None
    except (WireError, OSError) as error:
        raise SandboxError(f"The {what} did not start: {error}. Its own words stand above.") from error
    if "error" in said:
        raise SandboxError("The {} could not prepare this host: {}.".format(what, said["error"]))
    return dict(said)


class ZygoteHandle:
    """A zygote: a warm interpreter that forks children."""

    def __init__(self, kind: str, nursery: NurseryHandle, without: Sequence[str] = (), gently: bool = False) -> None:
        """Have the nursery fork it; `receive_ready` receives its first message. Raises OSError.

        Args:
            without: what it is not to load of the names that the operator added. gently: load at the lowest priority,
                where that can be undone.
        """
        self.kind, self.nursery = kind, nursery
        self.control, far_control = messages.pair()
        self.status, far_status = messages.pair()
        self.due = time.monotonic() + _START_S
        self.libraries: dict[str, Any] | None = None  # "libraries", "missing": once it is ready
        self.has_served = False  # whether one of its children has been given a job
        self._gone = False
        self._loading = ""  # the name that it said it is about to import
        self._children, self._lock = 0, threading.Lock()
        try:
            with far_control, far_status:
                order = {"kind": kind, "without": list(without), "gently": gently}
                nursery.send(messages.ZYGOTE, order, (far_control.fileno(), far_status.fileno()))
        except OSError:
            self.close()
            raise

    def receive_ready(self) -> bool:
        """Return whether it is ready.

        Raises:
            LeftOut: it ended, or hangs, because of one name. SandboxError: it ended otherwise, or takes too long.
        """
        try:
            while self.libraries is None:
                said = _ready_word(self.control, self.due, self.kind + " zygote")
                if said is None:
                    break
                if "offence" in said:
                    raise LeftOut(said["offence"]["name"], said["offence"]["reason"])
                if "name" in said:  # LOADING
                    self._loading, self.due = said["name"], time.monotonic() + _IMPORT_S + _KILLED_S
                else:
                    self.libraries = said
        except LeftOut:
            raise
        except SandboxError as error:
            if not self._loading:
                raise
            self.status.shutdown(socket.SHUT_WR)  # if it hangs, closing its socket doesn't end it: the nursery kills it
            raise LeftOut(self._loading, f"its import crashes, or takes longer than {_IMPORT_S:g} s") from error
        return self.libraries is not None

    def alive(self) -> bool:
        """Return whether it is running, as far as can be told by now."""
        if self._gone or self.control.fileno() < 0:  # given up already
            return False
        poll = select.poll()
        poll.register(self.control, select.POLLIN)
        poll.register(self.status, select.POLLIN)
        return not poll.poll(0)

    def gone(self) -> bool:
        """Return whether it has ended and nothing is left of any of its runs."""
        if not self._gone:
            try:
                said, _ = messages.receive_packet(self.status, messages.DONT_WAIT)
            except BlockingIOError:
                return False
            except OSError:
                said = b""
            # End of file: the nursery has ended too, and everything is gone once the process above has exited.
            self._gone = bool(said) or self.nursery.ended()
            if self._gone:
                self.status.close()
        return self._gone

    @property
    def has_children(self) -> bool:
        """Whether anything is left of any child that it was told to fork."""
        return self._children > 0

    def note_child(self, more: int) -> None:
        """Note a child that was ordered (1), or of which nothing is left (−1)."""
        with self._lock:
            self._children += more

    def send_order(self, order: messages.Order, descriptors: tuple[int, ...]) -> None:
        """Send an order for a child. Raises OSError: the zygote has ended, or its socket is full of unread orders."""
        messages.send_packet(self.control, messages.encode_order(order), descriptors, messages.DONT_WAIT)

    def close(self) -> None:
        """Close the control socket, which ends the zygote and all its children; `gone` tells when."""
        self.control.close()
