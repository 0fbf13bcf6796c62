"""The janitor: the thread that ends runs behind their answers, when the client has had time to take them.

In the server. The end of one process and the fork of the next take a processor for milliseconds each, and on a small
machine that is the one on which the client would read its answer. What may take longer never comes here.
"""

from __future__ import annotations

import queue
import threading
import time
from typing import Callable

from pyexec import log
from pyexec.runs.handles import Child

_GRACE_S = 0.003


class Janitor:
    """A thread that gives children back one after the other."""

    def __init__(self, give_back: Callable[[Child], None], await_due: Callable[[Child, float], None]) -> None:
        """Start.

        Args:
            give_back: ends what is left of a run. await_due: returns at this moment of the monotonic clock, or before
                if the child's slot is wanted.
        """
        self._give_back, self._await_due = give_back, await_due
        self._children: queue.SimpleQueue[tuple[Child, float] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="pyexec-janitor", daemon=True)
        self._thread.start()

    def take(self, child: Child) -> None:
        """Give a child back in a moment."""
        self._children.put((child, time.monotonic() + _GRACE_S))

    def close(self) -> None:
        """Return when every child is given back and the thread has ended."""
        self._children.put(None)
        self._thread.join()

    def _work(self) -> None:
        while True:
            entry = self._children.get()
            if entry is None:
                return
            child, due = entry
            self._await_due(child, due)
            try:
                self._give_back(child)
            except Exception as error:  # noqa: BLE001 - or nobody would clean up after the next
                log.say(f"a run could not be cleaned up: {error!r}")
