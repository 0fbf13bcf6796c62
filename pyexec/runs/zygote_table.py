"""The table of zygotes: each row holds one zygote, which lives, fails and is restarted independently of the others.

All zygotes are forked from one nursery, which is restarted when it ends. A row without a zygote orders one at once,
even before the nursery is ready, but only a bounded number of times a minute and, after failures, with pauses that
double, so that a second of shortage doesn't use up a minute's starts. Used by the keeper alone; nothing here blocks.
"""

from __future__ import annotations

import dataclasses
import math
import socket
import time
from typing import Any, Callable, Sequence

from pyexec import log
from pyexec.config import Config
from pyexec.errors import SandboxError
from pyexec.job import ADDED, DEFAULT, HEAVY, LIBRARIES, PLAIN, HostReport
from pyexec.runs import requirements
from pyexec.runs.renewal import Renewal
from pyexec.runs.zygote_handles import LeftOut, NurseryHandle, ZygoteHandle
from pyexec.runs.zygote_row import Row, kinds

_DYING_S, _LONGEST_S = 0.1, 3600.0
_BEYOND_PLAIN = LIBRARIES + HEAVY


def _top_level(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.partition(".")[0] for name in names))


class Rows:
    """All rows, and the nursery.

    Attributes:
        renew_at: when the zygotes are due to be replaced, which others may put forward. renewals: how often they were.
    """

    def __init__(self, config: Config, allowed: Callable[[HostReport], None]) -> None:
        """Start nothing yet; `allowed` is called with each host report that passes the requirements."""
        self._config, self._allowed = config, allowed
        self.rows = [Row(kind) for kind in kinds(config)]
        self.report: HostReport | None = None
        self.layers_on: set[str] = set()
        self.added: tuple[str, ...] = ()  # top-level names that only the last row loads
        self._said: dict[str, dict[str, Any]] = {}  # kind of zygote → what its last one told of its libraries
        self._nursery: NurseryHandle | None = None
        self._checked = False
        self._ending: list[ZygoteHandle] = []  # whose runs are still dying
        self._renewal: Renewal | None = None
        self._retired_nurseries: list[NurseryHandle] = []
        self.renew_at, self.renewals = math.inf, 0
        self._put_off_renewal(time.monotonic())

    def serving(self) -> bool:
        """Return whether every kind can serve that the server doesn't start without."""
        return all(row.zygote is not None for row in self.rows if row.kind.name != ADDED)

    def kind_for(self, code: str) -> str:
        """Return the kind of zygote for a script: the lightest that has all of LIBRARIES and HEAVY that its text names.

        The text, that of attached modules included, is searched, never parsed: it is hostile. A script that hides a
        name loads the library itself, and waits for it. So does one that names a library which can't be loaded ahead,
        or that comes before that has been done.
        """
        for name in self.added:  # loops: for each run
            if name in code:
                return ADDED if self.rows[-1].zygote is not None and self._has_loaded(code) else DEFAULT
        for name in _BEYOND_PLAIN:
            if name in code:
                return DEFAULT
        return PLAIN

    def _has_loaded(self, code: str) -> bool:
        libraries = self.report.libraries if self.report is not None else {}
        return any(name in code and name in libraries for name in self.added)

    def all_loaded(self) -> bool:
        """Return whether all that the operator added is loaded, as far as it can be."""
        return not self.added or self.rows[-1].zygote is not None or self.rows[-1].given_up

    def restarts(self) -> int:
        """Return how often a zygote had to be restarted."""
        return sum(row.restarts for row in self.rows)

    def ends(self) -> list[socket.socket]:
        """Return the sockets that become readable when something changes."""
        found = [] if self._nursery is None or self._checked else [self._nursery.control]
        found += [] if self._renewal is None else self._renewal.ends()
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
                self._ending.append(row.note_end())
                what = "is given up" if row.given_up else "starting another"
                log.say(f"the {row.kind.name} zygote ended unexpectedly; {what}", log.WARNING)
                if row.given_up:
                    self._give_up_added(row)
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
            except LeftOut as error:
                text = f"{error.name} is not loaded ahead of the runs ({error.reason}); scripts that name it import it"
                log.say(text + " themselves", log.WARNING)
                self._ending += filter(None, [row.leave_out(error.name, error.reason)])
            except SandboxError as error:
                self._fail(error, [row], now)
        self._renew(now)
        self._end_retired()
        self._ending = [zygote for zygote in self._ending if not zygote.gone()]
        waits = [now + _DYING_S] if self._ending else []
        waits += [row.not_before for row in self.rows if self._lacks(row)]
        waits += [row.coming.due for row in self.rows if row.coming is not None]
        waits += [self.renew_at if self._renewal is None else self._renewal.due()]
        return min(waits + [now + _LONGEST_S])

    def _start_missing(self, now: float) -> None:
        # The heaviest first: it is what takes longest.
        due = [row for row in reversed(self.rows) if self._lacks(row) and row.not_before <= now]
        if due and self._nursery is None:
            self._nursery, self._checked = NurseryHandle(self._config), False
        for row in due:
            assert self._nursery is not None
            row.start(self._nursery)

    def _lacks(self, row: Row) -> bool:
        """Return whether a zygote of this row is to be started: what the operator added comes once the others serve."""
        return row.lacks and not row.given_up and (row.kind.name != ADDED or (bool(self.added) and self.serving()))

    def _check_nursery(self, nursery: NurseryHandle) -> None:
        nursery.receive_report()
        if nursery.report is not None:
            self.layers_on = requirements.layers_on(nursery.report, self._config, self.layers_on)
            requirements.check_modules(nursery.report)
            self._allowed(nursery.report)
            self.added = _top_level(nursery.report.added)
            self._checked = True

    def _take_over(self, row: Row) -> None:
        row.serve()
        self._report_from(row)

    def _report_from(self, row: Row) -> None:
        """Take over what the nursery said of the host, and a row's zygote of its libraries."""
        assert self._nursery is not None and self._nursery.report is not None
        assert row.zygote is not None and row.zygote.libraries is not None
        self._said[row.kind.name] = said = row.zygote.libraries
        for name, reason in said["not_loaded"].items():
            log.say(f"{name} can't be imported: {reason}", log.WARNING)
        rows = [self._said[each.kind.name] for each in self.rows if each.kind.name in self._said]
        self.report = dataclasses.replace(
            self._nursery.report,
            libraries={name: version for each in rows for name, version in each["libraries"].items()},
            missing=tuple(dict.fromkeys(name for each in rows for name in each["missing"])),
            not_loaded=dict(self.rows[-1].without, **{n: r for each in rows for n, r in each["not_loaded"].items()}),
        )

    def _give_up_added(self, row: Row) -> None:
        """Serve without what the operator added, since the zygote that has it doesn't stay alive."""
        loaded = (self._said.pop(row.kind.name, None) or {}).get("libraries", {})
        reason = "the process that had it loaded ended again and again before any run"
        row.without.update(dict.fromkeys(self.added, reason))
        log.say(
            f"{', '.join(self.added)} not loaded ahead of the runs ({reason}); scripts import it themselves", log.ERROR
        )
        if self.report is not None:
            left = {name: version for name, version in self.report.libraries.items() if name not in loaded}
            not_loaded = dict(self.report.not_loaded, **row.without)
            self.report = dataclasses.replace(self.report, libraries=left, not_loaded=not_loaded)

    def _fail(self, error: BaseException, rows: list[Row], now: float) -> None:
        """Note a start that failed; what never served is given up for good."""
        if any(row.restarts == 0 and row.zygote is None and row.kind.name != ADDED for row in rows):
            raise error
        log.say(f"a zygote did not restart: {error}", log.ERROR)
        hangs = any(row.coming is not None and row.coming.alive() for row in rows)
        self._ending += filter(None, [row.note_failure(now) for row in rows])
        # A nursery that isn't fit to serve, or that hangs, is ended with everything below it.
        if self._nursery is not None and (hangs or not self._checked):
            self._nursery.end()
            self._nursery = None

    def is_renewal_due(self, now: float) -> bool:
        """Return whether `repair` would begin to replace the zygotes now."""
        # One generation after the other, so that there are never more than two.
        busy = self._renewal is not None or self._retired_nurseries
        return now >= self.renew_at and not busy and self.serving()

    def _put_off_renewal(self, now: float) -> None:
        self.renew_at = math.inf if self._config.renew_s is None else now + self._config.renew_s

    def _renew(self, now: float) -> None:
        """Take the next step of a renewal, if there is one to take; one that fails leaves all as it was."""
        try:
            if self.is_renewal_due(now):
                self._put_off_renewal(now)
                rows = [(row.kind, tuple(row.without)) for row in self.rows if row.zygote is not None]
                self._renewal = Renewal(self._config, rows, self.layers_on, now)
            if self._renewal is not None and self.serving():
                if self._renewal.advance({row.kind.name: row.zygote for row in self.rows if row.zygote is not None}):
                    self._switch(self._renewal, now)
                    self._renewal = None
        except (SandboxError, OSError, MemoryError) as error:
            log.say(f"the zygotes were not renewed, and go on: {error}", log.ERROR)
            renewal, self._renewal = self._renewal, None
            if renewal is not None:
                renewal.drop()

    def _switch(self, renewal: Renewal, now: float) -> None:
        if self._nursery is not None:
            self._retired_nurseries.append(self._nursery)
        self._nursery, self._checked = renewal.nursery, True
        self.added = _top_level(renewal.report.added)
        for row in self.rows:
            if row.kind.name in renewal.zygotes:
                row.replace(renewal.zygotes[row.kind.name])
                self._report_from(row)
        self.renewals += 1
        log.say(f"zygotes renewed, in {now - renewal.started_s:.1f} s")

    def _end_retired(self) -> None:
        for row in self.rows:
            self._ending += row.take_retired()
        left = [handle.nursery for handle in self._ending] + [z.nursery for row in self.rows for z in row.retired]
        for nursery in [each for each in self._retired_nurseries if each not in left]:
            nursery.end()  # with no zygote left, it does so at once
            self._retired_nurseries.remove(nursery)

    def end(self) -> None:
        """End all zygotes and nurseries, and return when they are gone."""
        if self._renewal is not None:
            self._renewal.drop()
            self._renewal = None
        for row in self.rows:
            for handle in (row.zygote, row.coming, *row.retired):
                if handle is not None:
                    handle.close()
                    self._ending.append(handle)
            row.zygote = row.coming = None
            row.retired = []
        for nursery in self._retired_nurseries:
            nursery.end()
        self._retired_nurseries = []
        if self._nursery is not None:
            self._nursery.end()
            self._nursery = None
        for handle in self._ending:
            handle.gone()
