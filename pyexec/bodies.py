"""The memory that the bodies of requests may take all together, and that of answers which nobody takes."""

from __future__ import annotations

import collections
import contextlib
import socket
import threading
from typing import Callable, Iterator

from pyexec.errors import ServerBusy


class ByteBudget:
    """How many bytes of bodies may be in memory at once."""

    def __init__(self, total: int) -> None:
        """Start with all of it free."""
        self._left = total
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def share(self) -> Iterator[Callable[[int], None]]:
        """Lend a function that takes more of it for one request; all of that is given back at the end.

        Taken as the bytes come, not as they are announced: announcing costs a client nothing.

        Raises:
            ServerBusy: from the function, when not enough is left.
        """
        held = 0

        def take(count: int) -> None:
            nonlocal held
            with self._lock:
                if count > self._left:
                    raise ServerBusy("Too many large requests at once; try again in a moment.", 1, "bodies")
                self._left -= count
                held += count

        try:
            yield take
        finally:
            with self._lock:
                self._left += held


class Untaken:
    """Answers that clients are slow to take; past a size of all together, that which has waited longest is dropped."""

    def __init__(self, most: int) -> None:
        """Start with none; `most` is in bytes."""
        self._most, self._held = most, 0
        self._waiting: collections.OrderedDict[socket.socket, int] = collections.OrderedDict()
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def waiting(self, connection: socket.socket, size: int) -> Iterator[None]:
        """Count an answer while it waits; its connection may be shut down meanwhile."""
        with self._lock:
            self._waiting[connection] = size
            self._held += size
            # Refusing the newest instead would let who takes no answer keep all others from theirs.
            while self._held > self._most and len(self._waiting) > 1:
                oldest, freed = self._waiting.popitem(last=False)
                self._held -= freed
                with contextlib.suppress(OSError):  # its client has just closed it
                    oldest.shutdown(socket.SHUT_RDWR)
        try:
            yield
        finally:
            with self._lock:
                self._held -= self._waiting.pop(connection, 0)
