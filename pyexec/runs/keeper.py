"""The keeper: the thread that starts the zygotes, waits for their end, and starts others, a bounded number a minute.

In the server. The kernel sends a parent-death signal when the *thread* that forked ends, so this one, which forks the
zygotes, lives as long as they may. What the children of a zygote are for is the pool's business.
"""

from __future__ import annotations

import collections
import threading
import time
from typing import TYPE_CHECKING, Callable

from pyexec import log
from pyexec.config import Config
from pyexec.runs.handles import Template

if TYPE_CHECKING:
    from pyexec.runs.pool import Pool

_STARTS_A_MINUTE = 10
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 16.0  # so that a second's shortage doesn't use up the starts of a minute


class Keeper:
    """Keeps zygotes running until the pool is closing."""

    def __init__(self, config: Config, pool: Pool, check: Callable[[Template], None]) -> None:
        """Start the thread.

        Args:
            check: called with a zygote that has started; ends it and raises SandboxError if it may not serve.
        """
        self._config, self._pool, self._check = config, pool, check
        self._starts: collections.deque[float] = collections.deque()
        self.restarts = 0
        self._thread = threading.Thread(target=self._work, name="pyexec-keeper", daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait for the thread's end, which comes when the pool is closing and its zygotes have ended."""
        self._thread.join()

    def _work(self) -> None:
        pause_s = 0.0
        while True:
            try:
                template = Template(self._config)
                self._check(template)
            except Exception as error:  # noqa: BLE001 - whatever it is: the thread that waits for us must hear of it
                first = not self._starts
                self._starts.append(time.monotonic())
                if first:
                    return self._pool.fail(error)
                if self._pool.wait(0.0):
                    return None
                log.say(f"the template did not restart: {error}")
                pause_s = min(_LONGEST_PAUSE_S, max(_FIRST_PAUSE_S, 2 * pause_s))
                self._pause(pause_s)
                continue
            self._starts.append(time.monotonic())
            self._pool.adopt(template)
            template.process.wait()
            pause_s = 0.0
            closing = self._pool.drop(template)
            if closing:
                return None
            self.restarts += 1
            log.say("the template ended unexpectedly; starting another")
            self._pause()

    def _pause(self, least_s: float = 0.0) -> None:
        """Wait, for so long at least, until another start keeps within the bound a minute."""
        until = time.monotonic() + least_s
        if len(self._starts) >= _STARTS_A_MINUTE:
            until = max(until, self._starts.popleft() + 60)
        self._pool.wait(until)
