"""One row of the table of zygotes: the one that serves, the one that is starting, those that were replaced.

It decides nothing but when the next may start: a bounded number of times a minute, and after a failure with a pause
that doubles. `rows` looks at all rows and repairs them.
"""

from __future__ import annotations

import collections
import time

from pyexec.config import DEFAULT_MODULES, Config
from pyexec.job import ADDED, ZYGOTES, ZygoteKind
from pyexec.runs.zygote_handles import NurseryHandle, ZygoteHandle

_STARTS_A_MINUTE = 10
_FRUITLESS_ENDS = 3  # in a row, after which one that only libraries need isn't started any more
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 16.0


def kinds(config: Config) -> tuple[ZygoteKind, ...]:
    """Return the kinds of zygote that a server has: the last only if it may be that the operator added something."""
    return ZYGOTES if config.preload or set(config.modules) - set(DEFAULT_MODULES) else ZYGOTES[:-1]


class Row:
    """One kind of zygote: the one that serves and the one that is starting."""

    def __init__(self, kind: ZygoteKind) -> None:
        """Start without a zygote."""
        self.kind = kind
        self.zygote: ZygoteHandle | None = None
        self.coming: ZygoteHandle | None = None
        self.retired: list[ZygoteHandle] = []  # replaced by newer ones; what they have forked goes on
        self.restarts = 0
        self.not_before = 0.0
        self.without: dict[str, str] = {}  # name that the operator added → why it isn't loaded ahead
        self.given_up = False
        self._fruitless = 0
        self._pause_s = 0.0
        self._starts: collections.deque[float] = collections.deque(maxlen=_STARTS_A_MINUTE)

    @property
    def lacks(self) -> bool:
        """Whether there is neither a serving nor a starting zygote."""
        return self.zygote is None and self.coming is None

    def start(self, nursery: NurseryHandle) -> None:
        """Have the nursery fork a zygote. Raises OSError."""
        self._starts.append(time.monotonic())
        if len(self._starts) == _STARTS_A_MINUTE:
            self.not_before = self._starts[0] + 60
        self.coming = ZygoteHandle(self.kind.name, nursery, tuple(self.without))

    def leave_out(self, name: str, reason: str) -> ZygoteHandle | None:
        """Give up the one that was starting, since it can't have a name; the next one goes without it, at once."""
        failed, self.coming = self.coming, None
        if failed is not None:
            failed.close()
        self.without[name] = reason
        self._starts.pop()  # no fault of the host: it may happen as often as there are names
        self.not_before = 0.0
        return failed

    def note_failure(self, now: float) -> ZygoteHandle | None:
        """Give up the zygote that was starting and postpone the next start; return it."""
        failed, self.coming = self.coming, None
        if failed is not None:
            failed.close()
        self._pause_s = min(_LONGEST_PAUSE_S, max(_FIRST_PAUSE_S, 2 * self._pause_s))
        self.not_before = max(self.not_before, now + self._pause_s)
        return failed

    def serve(self) -> None:
        """Put the zygote that has started into service."""
        assert self.coming is not None and self.coming.libraries is not None
        self.zygote, self.coming, self._pause_s = self.coming, None, 0.0

    def note_end(self) -> ZygoteHandle:
        """Give up the serving zygote, which has ended; return it."""
        assert self.zygote is not None
        ended, self.zygote = self.zygote, None
        ended.close()
        self.restarts += 1
        # If the nursery has ended, that is why.
        self._fruitless = 0 if ended.has_served or ended.nursery.ended() else self._fruitless + 1
        self.given_up = self.kind.name == ADDED and self._fruitless >= _FRUITLESS_ENDS
        return ended

    def replace(self, zygote: ZygoteHandle) -> None:
        """Let another one serve; the one before stays for what it has forked."""
        if self.zygote is not None:
            self.retired.append(self.zygote)
        self.zygote = zygote

    def take_retired(self) -> list[ZygoteHandle]:
        """Give up the retired ones that nothing needs any more; return them."""
        done = [zygote for zygote in self.retired if not (zygote.alive() and zygote.has_children)]
        self.retired = [zygote for zygote in self.retired if zygote not in done]
        for zygote in done:
            zygote.close()
        return done
