"""The table of zygotes: each row holds one zygote, which lives, fails and is restarted independently of the others.

All zygotes are forked from one nursery, which is restarted when it ends. A row without a zygote orders one at once,
even before the nursery is ready, but only a bounded number of times a minute and, after failures, with pauses that
double, so that a second of shortage doesn't use up a minute's starts. Used by the keeper alone; nothing here blocks.
"""

from __future__ import annotations

import collections
import dataclasses
import socket
import time
from typing import Any, Callable

from pyexec import log
from pyexec.config import Config
from pyexec.errors import SandboxError
from pyexec.job import ZYGOTES, HostReport, ZygoteKind
from pyexec.runs import requirements
from pyexec.runs.zygote_handles import NurseryHandle, ZygoteHandle

_STARTS_A_MINUTE = 10
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 16.0
_DYING_S, _LONGEST_S = 0.1, 3600.0


class Row:
    """One kind of zygote: the one that serves and the one that is starting."""

    def __init__(self, kind: ZygoteKind) -> None:
        """Start without a zygote."""
        self.kind = kind
        self.zygote: ZygoteHandle | None = None
        self.coming: ZygoteHandle | None = None
        self.restarts = 0
        self.not_before = 0.0
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
        self.coming = ZygoteHandle(self.kind.name, nursery)

    def note_failure(self, now: float) -> ZygoteHandle | None:
        """Give up the zygote that was starting and postpone the next start; return it."""
        failed, self.coming = self.coming, None
        if failed is not None:
            failed.close()
        self._pause_s = min(_LONGEST_PAUSE_S, max(_FIRST_PAUSE_S, 2 * self._pause_s))
        self.not_before = max(self.not_before, now + self._pause_s)
        return failed

    def serve(self) -> dict[str, Any]:
        """Put the zygote that has started into service; return what it reported about its libraries."""
        assert self.coming is not None and self.coming.libraries is not None
        self.zygote, self.coming, self._pause_s = self.coming, None, 0.0
        return self.zygote.libraries or {}

    def note_end(self) -> ZygoteHandle:
        """Give up the serving zygote, which has ended; return it."""
        assert self.zygote is not None
        ended, self.zygote = self.zygote, None
        ended.close()
        self.restarts += 1
        return ended


class Rows:
    """All rows, and the nursery."""

    def __init__(self, config: Config, allowed: Callable[[HostReport], None]) -> None:
        """Start nothing yet; `allowed` is called with each host report that passes the requirements."""
        self._config, self._allowed = config, allowed
        self.rows = [Row(kind) for kind in ZYGOTES]
        self.report: HostReport | None = None
        self.layers_on: set[str] = set()
        self._nursery: NurseryHandle | None = None
        self._checked = False
        self._ending: list[ZygoteHandle] = []  # whose runs are still dying

    def serving(self) -> bool:
        """Return whether every kind of zygote is in service."""
        return all(row.zygote is not None for row in self.rows)

    def restarts(self) -> int:
        """Return how often a zygote had to be restarted."""
        return sum(row.restarts for row in self.rows)

    def ends(self) -> list[socket.socket]:
        """Return the sockets that become readable when something changes."""
        found = [] if self._nursery is None or self._checked else [self._nursery.control]
        return found + [handle.control for row in self.rows for handle in (row.zygote, row.coming) if handle]

    def repair(self, now: float) -> float:
        """Start what is missing, put into service what has become ready; return when to look again (monotonic).

        Raises:
            SandboxError, OSError: a zygote that has never served can't be started here; says what to do.
        """
        if self._nursery is not None and self._checked and self._nursery.ended():
            self._nursery.end()
            self._nursery = None
        for row in self.rows:
            if row.zygote is not None and not row.zygote.alive():
                text = "the %s zygote ended unexpectedly; starting another"
                log.say(text % row.kind.name)
                self._ending.append(row.note_end())
        try:
            self._start_missing(now)
            if self._nursery is not None and not self._checked:
                self._check_nursery(self._nursery)
        except (SandboxError, OSError, MemoryError) as error:
            self._fail(error, [row for row in self.rows if row.zygote is None], now)
        for row in self.rows:
            try:
                if self._checked and row.coming is not None and row.coming.receive_ready():
                    self._take_over(row)
            except SandboxError as error:
                self._fail(error, [row], now)
        self._ending = [zygote for zygote in self._ending if not zygote.gone()]
        waits = [now + _DYING_S] if self._ending else []
        waits += [row.not_before for row in self.rows if row.lacks]
        waits += [row.coming.due for row in self.rows if row.coming is not None]
        return min(waits + [now + _LONGEST_S])

    def _start_missing(self, now: float) -> None:
        # The heaviest first: it takes longest.
        due = [row for row in reversed(self.rows) if row.lacks and row.not_before <= now]
        if due and self._nursery is None:
            self._nursery, self._checked = NurseryHandle(self._config), False
        for row in due:
            assert self._nursery is not None
            row.start(self._nursery)

    def _check_nursery(self, nursery: NurseryHandle) -> None:
        nursery.receive_report()
        if nursery.report is not None:
            self.layers_on = requirements.layers_on(nursery.report, self._config, self.layers_on)
            self._allowed(nursery.report)
            self._checked = True

    def _take_over(self, row: Row) -> None:
        assert self._nursery is not None and self._nursery.report is not None
        said = row.serve()
        old, report = self.report, self._nursery.report
        kept = (old.libraries, old.missing) if old is not None else ({}, ())
        if row.kind.libraries:
            kept = (said["libraries"], tuple(said["missing"]))
        self.report = dataclasses.replace(report, libraries=kept[0], missing=kept[1])

    def _fail(self, error: BaseException, rows: list[Row], now: float) -> None:
        """Record a start that failed. Raises the error if the row has never served: then it never will."""
        if any(row.restarts == 0 and row.zygote is None for row in rows):
            raise error
        log.say(f"a zygote did not restart: {error}")
        hangs = any(row.coming is not None and row.coming.alive() for row in rows)
        self._ending += filter(None, [row.note_failure(now) for row in rows])
        # A nursery that isn't fit to serve, or that hangs, is ended with everything below it.
        if self._nursery is not None and (hangs or not self._checked):
            self._nursery.end()
            self._nursery = None

    def end(self) -> None:
        """End all zygotes and the nursery, and return when they are gone."""
        for row in self.rows:
            for handle in (row.zygote, row.coming):
                if handle is not None:
                    handle.close()
                    self._ending.append(handle)
            row.zygote = row.coming = None
        if self._nursery is not None:
            self._nursery.end()
            self._nursery = None
        for handle in self._ending:
            handle.gone()
