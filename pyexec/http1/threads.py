"""Threads that serve connections, one each; one that has none left waits a while for the next.

Starting a thread takes as long as the rest of a small request's way through the server.
"""

from __future__ import annotations

import _thread
import contextlib
import queue
import threading
from typing import Any, Callable, Optional, Tuple

_IDLE_S = 5.0


class Threads:
    """Calls one function, each time in a thread that does nothing else meanwhile."""

    def __init__(self, work: Callable[..., None]) -> None:
        """Start with no thread; `work` must not raise."""
        self._work = work
        self._lock = threading.Lock()
        self._idle = 0
        self._handed: queue.SimpleQueue[Tuple[Any, ...]] = queue.SimpleQueue()  # to as many idle threads

    def call(self, *arguments: Any) -> None:
        """Have a thread call the function. Raises RuntimeError: no further thread can be started."""
        with self._lock:
            waits = self._idle > 0
            self._idle -= waits
        if waits:
            self._handed.put(arguments)
        else:
            # Not threading.Thread, whose start waits for a sign of life: for ever, and we with it, if the thread runs
            # out of memory before it gives one. Its connection is idle then, and makes room for another.
            _thread.start_new_thread(self._live, arguments)

    def _live(self, *arguments: Any) -> None:
        """Be a thread: work, then wait for more, for a while or as the last one that waits."""
        while True:
            self._work(*arguments)
            del arguments  # a connection's buffers must not outlive it here
            with self._lock:
                self._idle += 1
            handed = None
            while handed is None:
                with contextlib.suppress(MemoryError):  # counted as waiting, it must go on waiting
                    handed = self._next()
                    if handed is None:
                        return
            arguments = handed

    def _next(self) -> Optional[Tuple[Any, ...]]:
        """Return what was handed to this idle thread; None if it is to end, and is no longer counted as idle."""
        while True:
            try:
                return self._handed.get(timeout=_IDLE_S)
            except queue.Empty:
                with self._lock:
                    # What has been handed over meanwhile is no longer counted, and another takes it.
                    if self._idle > 1:
                        self._idle -= 1
                        return None
