"""The last moment of a run whose time or memory is nearly used up: it is asked to flush, and where its script is.

In the server. What a run answers is its own word. A run that stays in C code can't answer; then `faulthandler` is asked
to write the call stack to the run's standard error, from which it is taken out again.
"""

from __future__ import annotations

import contextlib
import os
import time

from pyexec import messages
from pyexec.runs.child_handle import ChildHandle

_LATE_S, _STUCK_S = 0.1, 0.04  # before the limit
_STACK, _ENTRIES = b"Stack (most recent call first):\n", (b'  File "', b"  ...")


class LastMoment:
    """Asks one run, once each way.

    Attributes:
        next_at: when `ask` has something to do.
    """

    def __init__(self, child: ChildHandle, started: float, deadline: float) -> None:
        """Take a run and when it ends at the latest, on the monotonic clock; a short one is asked half-way."""
        self._child = child
        self._late_at = max(deadline - _LATE_S, (started + deadline) / 2)
        self._stuck_at = max(deadline - _STUCK_S, self._late_at)
        self.next_at = self._late_at
        self._asked, self._asked_about_memory = 0, False
        self._offset = -1  # in standard error, from which on the stack may be found

    def ask(self) -> None:
        """Send what is due by now."""
        with contextlib.suppress(OSError):  # an admin's run before Linux 6.9, which then tells nothing
            if time.monotonic() < self.next_at:
                return
            self._asked += 1
            self.next_at = self._stuck_at if self._asked == 1 else float("inf")
            if self._asked == 1:
                self._child.hearsay.forget_where()  # it may have told when its memory was short
                self._child.signal_all(messages.LATE_SIGNAL)
            elif not self._child.admin and not self._child.hearsay.knows_where:
                # An admin's processes would write over each other.
                self._offset = os.fstat(self._child.streams[2]).st_size
                self._child.signal_all(messages.STUCK_SIGNAL)

    def ask_about_memory(self) -> None:
        """Ask, once, where the memory goes. Nobody waits for the answer: what the run may use stays the same."""
        if not self._asked_about_memory:
            self._asked_about_memory = True
            with contextlib.suppress(OSError):
                self._child.signal_all(messages.LATE_SIGNAL)

    def without_stack(self, stderr: bytes, source: str) -> bytes:
        """Return a run's standard error without what `faulthandler` wrote there, which is kept as hearsay."""
        start = stderr.find(_STACK, self._offset) if self._offset >= 0 else -1
        if start < 0:
            return stderr
        end = start + len(_STACK)
        while stderr.startswith(_ENTRIES, end):
            end = stderr.find(b"\n", end) + 1 or len(stderr)
        self._child.hearsay.take_stack(stderr[start:end], source)
        return stderr[:start] + stderr[end:]
