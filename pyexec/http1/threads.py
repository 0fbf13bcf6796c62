"""Threads that serve connections, one each; one that is done waits a while for the next.

Starting a thread takes as long as the rest of a small request's way through the server.
"""

from __future__ import annotations

import _thread
import contextlib
import queue
import threading
from typing import Any, Callable

_IDLE_S = 5.0


class Threads:
    """Calls one function, each time in a thread that does nothing else meanwhile.

    Not a ThreadPoolExecutor: its queue has no bound, it joins its threads at exit, and `Thread.start` waits for a sign
    of life, which a thread that runs out of memory first never gives.
    """

    def __init__(self, work: Callable[..., None]) -> None:
        """Start with no thread; `work` must not raise."""
        self._work = work
        self._lock = threading.Lock()
        self._idle = 0
        self._handed: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()  # to as many idle threads

    def call(self, *arguments: Any) -> None:
        """Have a thread call the function. Raises RuntimeError: no further thread can be started."""
        with self._lock:
            one_waits = self._idle > 0
            if one_waits:
                self._idle -= 1
        if one_waits:
            self._handed.put(arguments)
        else:
            # If this thread dies of a memory shortage before it begins, its connection is left idle, and makes room
            # for another.
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

    def _next(self) -> tuple[Any, ...] | None:
        """Return what was handed to this idle thread; None if it is to end, and is no longer counted as idle."""
        while True:
            try:
                return self._handed.get(timeout=_IDLE_S)
            except queue.Empty:
                with self._lock:
                    # Work that was handed over meanwhile has been counted off; another idle thread takes it.
                    if self._idle > 1:
                        self._idle -= 1
                        return None
