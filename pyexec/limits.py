"""Admission: may this caller run a script now? Quotas by the minute and the day, and then a slot.

These are limits of callers, counted over many requests. Limits of size and number, which a single request or run may
meet, are elsewhere: `rules`, `api/request` and `job.Budget`.

One lock guards the counters. The clock is an argument: every function that needs the time takes a `Now`. Waiting for a
slot is the business of `slot_queue`; a `Ticket` returns its slot exactly once.
"""

from __future__ import annotations

import collections
import math
import threading
from dataclasses import dataclass
from datetime import datetime, timezone

from pyexec import units
from pyexec.accounts import ROUNDING, Account, Now
from pyexec.callers import Caller
from pyexec.config import Config
from pyexec.errors import RateLimitExceeded
from pyexec.presence import Presence
from pyexec.slot_queue import Party, SlotQueue

_MOST_WAITING = 2  # requests of one address, so that it can't fill the queue by itself


@dataclass(frozen=True)
class Quota:
    """A caller's quota after a request was counted; a limit that is None is no limit."""

    daily_limit: int | None
    used_today: int
    minute_limit: int | None
    minute_left: int
    minute_reset_s: int
    day_reset_s: int

    @property
    def left_today(self) -> int | None:
        """Requests left until midnight UTC."""
        return None if self.daily_limit is None else max(0, self.daily_limit - self.used_today)


class Ticket:
    """The right to run one script now; a context manager that returns its slot exactly once.

    Attributes:
        active: runs in progress when the request came, not counting its own.
        quota: the caller's, None with the admin key, for which nothing is counted.
    """

    def __init__(self, admission: Admission, caller: Caller, day: int, active: int, quota: Quota | None) -> None:
        """Made by `Admission.admit` only."""
        self._admission, self._caller, self._day = admission, caller, day
        self.active, self.quota = active, quota
        self._held = True
        self._refunded = False

    def __enter__(self) -> Ticket:
        return self

    def __exit__(self, *_: object) -> None:
        if self._held:
            self._held = False
            self._admission._release(self._caller)

    def refund(self) -> Quota | None:
        """Give back, once, what a request cost that failed through our fault; return the quota after that."""
        if self.quota is not None and not self._refunded:
            self._refunded = True
            self.quota = self._admission._refund(self._caller, self._day)
        return self.quota


class Admission:
    """The quotas of all callers, and the slots of one server. Thread-safe."""

    def __init__(self, config: Config) -> None:
        """Start with every quota full and every slot free."""
        self._rates = config.rate_per_minute, config.rate_per_day
        self._max_callers = config.max_callers
        self._slots = SlotQueue(config.max_runs, config.queue, config.queue_s)
        self._lock = threading.Lock()
        self._accounts: collections.OrderedDict[str, Account] = collections.OrderedDict()
        self._seen = Now(0.0, datetime.fromtimestamp(0, timezone.utc))

    @property
    def active(self) -> int:
        """Runs in progress."""
        return self._slots.active

    @property
    def waiting(self) -> int:
        """Requests that wait for a slot."""
        return self._slots.waiting

    @property
    def callers(self) -> int:
        """Callers currently remembered."""
        return len(self._accounts)

    def admit(self, caller: Caller, now: Now, presence: Presence | None = None) -> Ticket:
        """Count a request, then take a slot, which may mean waiting for one; without a slot, nothing was counted.

        Args:
            presence: says whether the caller has gone, which ends the wait.

        Raises:
            RateLimitExceeded: the caller's minute or day is used up. ServerBusy: no slot. CallerGone: it left.
        """
        # In this order: a caller over the limit must not hold a place in the queue.
        quota, day = (None, 0) if caller.unlimited else self._charge_and_day(caller, now)
        try:
            active = self._slots.take(_party(caller), presence)
        except BaseException:
            if quota is not None:
                self._refund(caller, day)
            raise
        return Ticket(self, caller, day, active, quota)

    def charge(self, caller: Caller, now: Now) -> Quota:
        """Count a request that takes no slot, such as a large malformed one. Raises RateLimitExceeded."""
        with self._lock:
            return self._charge(caller, now)

    def _charge_and_day(self, caller: Caller, now: Now) -> tuple[Quota, int]:
        with self._lock:
            return self._charge(caller, now), self._accounts[caller.identity].day

    def quota(self, caller: Caller, now: Now) -> Quota:
        """Return a caller's quota as it stands, without counting anything or remembering the caller."""
        with self._lock:
            account = self._accounts.get(caller.identity)
            if account is None:
                account = Account(self._rates_of(caller)[0], now)
            return self._snapshot(account, caller, now)

    def _rates_of(self, caller: Caller) -> tuple[int | None, int | None]:
        """Return a caller's limits by the minute and the day."""
        return self._rates if caller.key is None else (caller.key.per_minute, caller.key.per_day)

    def _charge(self, caller: Caller, now: Now) -> Quota:
        self._seen = now
        account = self._account(caller, now)
        self._refresh(account, caller, now)
        self._refuse_if_used_up(account, caller, now)
        account.take()
        account.used += 1
        return self._snapshot(account, caller, now)

    def _refuse_if_used_up(self, account: Account, caller: Caller, now: Now) -> None:
        rate, daily = self._rates_of(caller)
        if daily is not None and account.used >= daily:
            raise RateLimitExceeded(f"Daily quota of {daily} exceeded.", account.day_left_s(now), "day")
        if rate is None:
            return
        wait_s = account.wait_s(rate)
        if wait_s:
            raise RateLimitExceeded(f"Limit of {units.count(rate, 'request')} per minute exceeded.", wait_s)

    def _account(self, caller: Caller, now: Now) -> Account:
        account = self._accounts.get(caller.identity)
        if account is None:
            account = self._accounts[caller.identity] = Account(self._rates_of(caller)[0], now)
            if len(self._accounts) > self._max_callers:
                self._accounts.popitem(last=False)
        self._accounts.move_to_end(caller.identity)
        return account

    def _refresh(self, account: Account, caller: Caller, now: Now) -> None:
        account.fill(self._rates_of(caller)[0], now.monotonic_s)
        account.look_at_day(now)

    def _snapshot(self, account: Account, caller: Caller, now: Now) -> Quota:
        self._refresh(account, caller, now)
        rate, daily = self._rates_of(caller)
        return Quota(
            daily_limit=daily,
            used_today=account.used,
            minute_limit=rate,
            minute_left=int(account.tokens + ROUNDING),
            minute_reset_s=0 if rate is None else math.ceil((rate - account.tokens) * 60 / rate - ROUNDING),
            day_reset_s=account.day_left_s(now),
        )

    def _credit(self, caller: Caller, day: int) -> Quota | None:
        account = self._accounts.get(caller.identity)
        if account is None:
            return None
        account.give_back(self._rates_of(caller)[0])
        if account.day == day:  # what was charged yesterday no longer counts
            account.used = max(0, account.used - 1)
        return self._snapshot(account, caller, self._seen)

    def _refund(self, caller: Caller, day: int) -> Quota | None:
        with self._lock:
            return self._credit(caller, day)

    def _release(self, caller: Caller) -> None:
        self._slots.release(_party(caller))


def _party(caller: Caller) -> Party:
    """Return whom a caller's slots and places in the queue count for."""
    if caller.key is not None:
        slots = caller.key.slots
        return Party(caller.identity, slots, None if slots is None else max(slots, _MOST_WAITING))
    return Party("admin") if caller.admin else Party(caller.identity, most_waiting=_MOST_WAITING)
