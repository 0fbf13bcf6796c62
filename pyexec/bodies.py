"""The memory that the bodies of requests may take all together."""

from __future__ import annotations

import contextlib
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
