"""Who may run now: a caller's quota, which a store counts, and this server's slots.

Nothing here waits, and a `Ticket` returns its slot exactly once. The clock is an argument: every function that needs
the time takes a `Now`.
"""

from __future__ import annotations

import hmac
import threading

from pyexec.accounts import Allowance, Now
from pyexec.accounts import Quota as Quota
from pyexec.callers import Caller
from pyexec.config import Config
from pyexec.errors import AuthenticationError, ServerBusy
from pyexec.quota_store import Charge, QuotaStore
from pyexec.quota_store.memory import Memory


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

    def __init__(self, limits: Limits, charge: Charge | None, active: int) -> None:
        """Made by `Limits.admit` only."""
        self._limits, self._charge = limits, charge
        self.active, self.quota = active, None if charge is None else charge.quota
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
        if self._charge is not None and not self._refunded:
            self._refunded = True
            self.quota = self._limits._store.give_back(self._charge)
        return self.quota


class Limits:
    """The counters of one server. Thread-safe."""

    def __init__(self, config: Config, store: QuotaStore | None = None) -> None:
        """Start with every slot free; without a store, with the one that the settings name. Raises ConfigError."""
        self._allowance = Allowance(config.rate_per_minute, config.rate_per_day)
        self._max_runs = config.max_runs
        self._store = _store_of(config) if store is None else store
        self._lock = threading.Lock()
        self._active = 0

    @property
    def active(self) -> int:
        """Runs in progress."""
        return self._active

    @property
    def callers(self) -> int:
        """Callers currently remembered."""
        return self._store.callers

    def admit(self, caller: Caller, now: Now, once: str = "") -> Ticket:
        """Count a request and take a slot.

        Args:
            once: what marks a request and its repetitions, which are charged once; "" if nothing does.

        Raises:
            RateLimitExceeded: the caller's minute or day is used up. ServerBusy: no slot; the caller is not charged.
        """
        charge = None if caller.admin else self._store.charge(caller.identity, self._allowance, now, once)
        try:
            active = self._take_slot()
        except ServerBusy:
            if charge is not None:
                self._store.give_back(charge)
            raise
        return Ticket(self, charge, active)

    def _take_slot(self) -> int:
        """Take a slot; return how many were taken before. Raises ServerBusy."""
        with self._lock:
            if self._active >= self._max_runs:
                raise ServerBusy(self._all_taken())
            self._active += 1
            return self._active - 1

    def _all_taken(self) -> str:
        if self._max_runs == 1:
            return "The only slot is taken; try again in a moment."
        return f"All {self._max_runs} slots are taken; try again in a moment."

    def charge(self, caller: Caller, now: Now) -> Quota:
        """Count a request that takes no slot, such as a large malformed one. Raises RateLimitExceeded."""
        return self._store.charge(caller.identity, self._allowance, now).quota

    def quota(self, caller: Caller, now: Now) -> Quota:
        """Return a caller's quota as it stands, without counting anything or remembering the caller."""
        return self._store.look(caller.identity, self._allowance, now)

    def _release(self) -> None:
        with self._lock:
            self._active -= 1


def _store_of(config: Config) -> QuotaStore:
    if config.limits_url is None:
        return Memory(config.max_callers)
    # Not loaded otherwise, since it loads redis-py.
    from pyexec.quota_store.redis import Shared

    return Shared(config.limits_url, config.max_callers)
