"""Callers' quotas in this process's memory: exact on one node, forgotten when it ends.

Pure but for its own counters, which one lock guards. The clock is an argument; nothing here waits.
"""

from __future__ import annotations

import collections
import math
import threading
from datetime import datetime, timezone

from pyexec.accounts import ROUNDING, Account, Allowance, Now, Quota
from pyexec.quota_store import MOST_USES, REPEATED_WITHIN_S, Charge, day_used_up, minute_used_up

_MOST_REPEATED = 10_000


class Memory:
    """The counters of one process, a bounded number: the least recently seen caller is forgotten first."""

    def __init__(self, max_callers: int) -> None:
        """Start with every quota full."""
        self._max_callers = max_callers
        self._lock = threading.Lock()
        self._accounts: collections.OrderedDict[str, Account] = collections.OrderedDict()
        self._repeated = _Repeated()
        self._seen = Now(0.0, datetime.fromtimestamp(0, timezone.utc))

    @property
    def callers(self) -> int:
        """Callers currently remembered."""
        return len(self._accounts)

    def charge(self, identity: str, allowance: Allowance, now: Now, once: str = "") -> Charge:
        """Count a request, or find that it repeats one that was charged. Raises RateLimitExceeded."""
        with self._lock:
            self._seen = now
            account = self._account(identity, allowance, now)
            _refresh(account, allowance, now)
            paid = not (once and self._repeated.repeats(identity, once, now.monotonic_s))
            if paid:
                _refuse_if_used_up(account, allowance, now)
                account.take()
                account.used += 1
                if once:
                    self._repeated.begin(identity, once, now.monotonic_s)
            return Charge(identity, allowance, _snapshot(account, allowance, now), account.day, once, paid)

    def give_back(self, charge: Charge) -> Quota | None:
        """Undo a charge, unless a repetition that it covers still stands; return the quota, None if it is forgotten."""
        with self._lock:
            account = self._accounts.get(charge.identity)
            if account is None:
                return None
            last = self._repeated.leave(charge.identity, charge.once) if charge.once else True
            if charge.paid if last is None else last:
                account.give_back(charge.allowance.per_minute)
                if account.day == charge.day:  # what was charged yesterday no longer counts
                    account.used = max(0, account.used - 1)
            return _snapshot(account, charge.allowance, self._seen)

    def look(self, identity: str, allowance: Allowance, now: Now) -> Quota:
        """Return a quota as it stands, without counting anything or remembering the caller."""
        with self._lock:
            account = self._accounts.get(identity)
            return _snapshot(Account(allowance.per_minute, now) if account is None else account, allowance, now)

    def _account(self, identity: str, allowance: Allowance, now: Now) -> Account:
        account = self._accounts.get(identity)
        if account is None:
            account = self._accounts[identity] = Account(allowance.per_minute, now)
            if len(self._accounts) > self._max_callers:
                self._accounts.popitem(last=False)
        self._accounts.move_to_end(identity)
        return account


class _Repeated:
    """Requests that were charged lately, and how many uses each charge has. Bounded: the oldest is forgotten first."""

    def __init__(self) -> None:
        self._uses: collections.OrderedDict[tuple[str, str], tuple[float, int]] = collections.OrderedDict()

    def repeats(self, identity: str, once: str, now_s: float) -> bool:
        """Return whether this request is one more use of a charge, which is then counted."""
        until_s, uses = self._uses.get((identity, once), (-math.inf, 0))
        if now_s >= until_s or uses >= MOST_USES:
            return False
        self._uses[identity, once] = until_s, uses + 1
        return True

    def begin(self, identity: str, once: str, now_s: float) -> None:
        """Note a charge's first use."""
        self._uses[identity, once] = now_s + REPEATED_WITHIN_S, 1
        self._uses.move_to_end((identity, once))
        if len(self._uses) > _MOST_REPEATED:
            self._uses.popitem(last=False)

    def leave(self, identity: str, once: str) -> bool | None:
        """Take one use off a charge; return whether it was the last, None if the charge is forgotten."""
        until_s, uses = self._uses.pop((identity, once), (-math.inf, 0))
        if uses > 1:
            self._uses[identity, once] = until_s, uses - 1
            return False
        return True if uses else None


def _refresh(account: Account, allowance: Allowance, now: Now) -> None:
    account.fill(allowance.per_minute, now.monotonic_s)
    account.look_at_day(now)


def _refuse_if_used_up(account: Account, allowance: Allowance, now: Now) -> None:
    if allowance.per_day is not None and account.used >= allowance.per_day:
        raise day_used_up(allowance.per_day, account.day_left_s(now))
    wait_s = 0 if allowance.per_minute is None else account.wait_s(allowance.per_minute)
    if allowance.per_minute is not None and wait_s:
        raise minute_used_up(allowance.per_minute, wait_s)


def _snapshot(account: Account, allowance: Allowance, now: Now) -> Quota:
    _refresh(account, allowance, now)
    rate = allowance.per_minute
    return Quota(
        daily_limit=allowance.per_day,
        used_today=account.used,
        minute_limit=rate,
        minute_left=int(account.tokens + ROUNDING),
        minute_reset_s=0 if rate is None else math.ceil((rate - account.tokens) * 60 / rate - ROUNDING),
        day_reset_s=account.day_left_s(now),
    )
