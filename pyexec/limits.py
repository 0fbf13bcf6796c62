"""Admission: who may run now, by a caller's quota and the server's slots. What a run itself may use is `job.Budget`.

Pure but for its own counters, which one lock guards. The clock is an argument: every function that needs the time
takes a `Now`. Nothing here waits, and a `Ticket` returns its slot exactly once.
"""

from __future__ import annotations

import collections
import hmac
import math
import threading
from dataclasses import dataclass
from datetime import datetime, timezone

from pyexec import units
from pyexec.accounts import ROUNDING, Account, Now
from pyexec.callers import Caller
from pyexec.config import Config
from pyexec.errors import AuthenticationError, RateLimitExceeded, ServerBusy


@dataclass(frozen=True)
class Quota:
    """A caller's quota after a request was counted."""

    daily_limit: int
    used_today: int
    minute_limit: int
    minute_left: int
    minute_reset_s: int
    day_reset_s: int

    @property
    def left_today(self) -> int:
        """Requests left until midnight UTC."""
        return max(0, self.daily_limit - self.used_today)


def authenticate(caller: Caller, given_key: str | None, admin_key: str | None) -> Caller:
    """Return the caller, as admin if the right key was given.

    Raises:
        AuthenticationError: the given key is wrong, or no key is configured.
    """
    if given_key is None:
        return caller
    # Compared whether or not a key is configured, so that timing doesn't reveal it.
    same = hmac.compare_digest(given_key.encode("utf-8"), (admin_key or "").encode("utf-8"))
    if not same or admin_key is None:
        raise AuthenticationError("The API key is not valid.")
    return Caller(caller.address, caller.identity, admin=True)


class Ticket:
    """The right to run one script now; a context manager that returns its slot exactly once.

    Attributes:
        active: runs in progress when this one was admitted, not counting itself.
        quota: the caller's, None for admins.
    """

    def __init__(self, limits: Limits, caller: Caller, day: int, active: int, quota: Quota | None) -> None:
        """Made by `Limits.admit` only."""
        self._limits, self._caller, self._day = limits, caller, day
        self.active, self.quota = active, quota
        self._held = True
        self._refunded = False

    def __enter__(self) -> Ticket:
        return self

    def __exit__(self, *_: object) -> None:
        if self._held:
            self._held = False
            self._limits._release()

    def refund(self) -> Quota | None:
        """Give back, once, what a request cost that failed through our fault; return the quota after that."""
        if self.quota is not None and not self._refunded:
            self._refunded = True
            self.quota = self._limits._refund(self._caller, self._day)
        return self.quota


class Limits:
    """The counters of one server. Thread-safe."""

    def __init__(self, config: Config) -> None:
        """Start with every quota full and every slot free."""
        self._rate, self._daily = config.rate_per_minute, config.rate_per_day
        self._max_runs, self._max_callers = config.max_runs, config.max_callers
        self._lock = threading.Lock()
        self._accounts: collections.OrderedDict[str, Account] = collections.OrderedDict()
        self._active = 0
        self._seen = Now(0.0, datetime.fromtimestamp(0, timezone.utc))

    @property
    def active(self) -> int:
        """Runs in progress."""
        return self._active

    @property
    def callers(self) -> int:
        """Callers currently remembered."""
        return len(self._accounts)

    def admit(self, caller: Caller, now: Now) -> Ticket:
        """Count a request and take a slot.

        Raises:
            RateLimitExceeded: the caller's minute or day is used up. ServerBusy: no slot; the caller is not charged.
        """
        with self._lock:
            quota = None if caller.admin else self._charge(caller, now)
            day = 0 if caller.admin else self._accounts[caller.identity].day
            if self._active >= self._max_runs:
                if not caller.admin:
                    self._credit(caller, day)
                raise ServerBusy(self._all_taken())
            active = self._active
            self._active += 1
            return Ticket(self, caller, day, active, quota)

    def _all_taken(self) -> str:
        if self._max_runs == 1:
            return "The only slot is taken; try again in a moment."
        return f"All {self._max_runs} slots are taken; try again in a moment."

    def charge(self, caller: Caller, now: Now) -> Quota:
        """Count a request that takes no slot, such as a large malformed one. Raises RateLimitExceeded."""
        with self._lock:
            return self._charge(caller, now)

    def quota(self, caller: Caller, now: Now) -> Quota:
        """Return a caller's quota as it stands, without counting anything or remembering the caller."""
        with self._lock:
            account = self._accounts.get(caller.identity)
            if account is None:
                account = Account(self._rate, now)
            return self._snapshot(account, now)

    def _charge(self, caller: Caller, now: Now) -> Quota:
        self._seen = now
        account = self._account(caller, now)
        self._refresh(account, now)
        self._refuse_if_used_up(account, now)
        account.take()
        account.used += 1
        return self._snapshot(account, now)

    def _refuse_if_used_up(self, account: Account, now: Now) -> None:
        if account.used >= self._daily:
            raise RateLimitExceeded(f"Daily quota of {self._daily} exceeded.", account.day_left_s(now), "day")
        wait_s = account.wait_s(self._rate)
        if wait_s:
            raise RateLimitExceeded(f"Limit of {units.count(self._rate, 'request')} per minute exceeded.", wait_s)

    def _account(self, caller: Caller, now: Now) -> Account:
        account = self._accounts.get(caller.identity)
        if account is None:
            account = self._accounts[caller.identity] = Account(self._rate, now)
            if len(self._accounts) > self._max_callers:
                self._accounts.popitem(last=False)
        self._accounts.move_to_end(caller.identity)
        return account

    def _refresh(self, account: Account, now: Now) -> None:
        account.fill(self._rate, now.monotonic_s)
        account.look_at_day(now)

    def _snapshot(self, account: Account, now: Now) -> Quota:
        self._refresh(account, now)
        missing = self._rate - account.tokens
        return Quota(
            daily_limit=self._daily,
            used_today=account.used,
            minute_limit=self._rate,
            minute_left=int(account.tokens + ROUNDING),
            minute_reset_s=math.ceil(missing * 60 / self._rate - ROUNDING),
            day_reset_s=account.day_left_s(now),
        )

    def _credit(self, caller: Caller, day: int) -> Quota | None:
        account = self._accounts.get(caller.identity)
        if account is None:
            return None
        account.give_back(self._rate)
        if account.day == day:  # what was charged yesterday no longer counts
            account.used = max(0, account.used - 1)
        return self._snapshot(account, self._seen)

    def _refund(self, caller: Caller, day: int) -> Quota | None:
        with self._lock:
            return self._credit(caller, day)

    def _release(self) -> None:
        with self._lock:
            self._active -= 1
