"""A standstill: a run is stopped while its directory is looked at, so that nothing there can move, and then goes on.

Needed only where a directory is walked and its names change meanwhile: a thread that renames without a pause is faster
than the step from an entry's listing to its status, and what moves between two directories may be listed in neither.
A script doesn't notice, unless it handles SIGCONT or has itself stopped a process, which then goes on, too.
"""

from __future__ import annotations

import contextlib
import signal
import time
from typing import Callable, Iterator

from pyexec.runs import processes
from pyexec.runs.child_handle import ChildHandle
from pyexec.runs.processes import Process

# One thread stops within the hundred microseconds in which it is scheduled; of several on a busy machine, the last may
# take a tenth of a second, and one in a long call of the kernel until that returns. Until then it goes on.
_PATIENCE_S, _SHORT_S, _LONG_S = 0.25, 0.00005, 0.001
_SHORT_WAITS = 10
# A run that creates files all the time stands still for a tenth of its time at most, and for far less unless it has
# hundreds. But nobody gains longer than this by a directory that takes long to walk.
_PAUSE_TIMES, _LONGEST_PAUSE_S = 10, 0.25


class Standstill:
    """Stops one run, again and again."""

    def __init__(self, child: ChildHandle, members: Callable[[Process], list[Process]]) -> None:
        """Take a run, and what finds all of its processes, given the first."""
        self._child, self._members = child, members
        self._is_on = False
        self._next_at = 0.0

    def is_due(self) -> bool:
        """Return whether the run has executed long enough since it was last stopped."""
        return time.monotonic() >= self._next_at

    @contextlib.contextmanager
    def hold(self, for_good: bool = False) -> Iterator[bool]:
        """Stop the run and yield whether all of it stands still; then let it go on, unless it is over for good."""
        began = time.monotonic()
        is_still = False
        try:
            self._is_on = True
            with contextlib.suppress(OSError):  # Linux before 6.9 can't stop an admin's group by a pidfd
                self._child.stop()
                is_still = self._await(began + _PATIENCE_S)
            yield is_still
        finally:
            if not for_good:
                self.end()
        if is_still:
            now = time.monotonic()
            self._next_at = now + min(_PAUSE_TIMES * (now - began), _LONGEST_PAUSE_S)

    def end(self) -> None:
        """Let the run go on if it stands still, also because something failed meanwhile."""
        if self._is_on:
            with contextlib.suppress(OSError):
                self._child.signal_all(signal.SIGCONT)
            self._is_on = False

    def _await(self, deadline: float) -> bool:
        waits = 0
        while True:
            first = self._child.first_process()
            if first is None or all(map(processes.is_stopped, self._members(first))):
                return True
            if time.monotonic() >= deadline:
                return False
            waits += 1
            time.sleep(_SHORT_S if waits <= _SHORT_WAITS else _LONG_S)
