"""Admission: may this caller run a script now? A quota by the minute and the day, and then a slot.

These are limits of callers, counted over many requests. Limits of size and number, which a single request or run may
meet, are elsewhere: `rules`, `api/request` and `job.Budget`.

Quotas are counted by a `quota_store`, slots by a `slot_queue`, which is where a request may have to wait; a `Ticket`
returns its slot exactly once. The clock is an argument: every function that needs the time takes a `Now`.
"""

from __future__ import annotations

from pyexec.accounts import Allowance, Now
from pyexec.accounts import Quota as Quota
from pyexec.callers import Caller
from pyexec.config import Config
from pyexec.presence import Presence
from pyexec.quota_store import Charge, QuotaStore
from pyexec.quota_store.memory import Memory
from pyexec.slot_queue import Party, SlotQueue


class Ticket:
    """The right to run one script now; a context manager that returns its slot exactly once.

    Attributes:
        active: runs in progress when the request came, not counting its own.
        quota: the caller's, None with the admin key, for which nothing is counted.
    """

    def __init__(self, admission: Admission, party: Party, charge: Charge | None, active: int) -> None:
        """Made by `Admission.admit` only."""
        self._admission, self._party, self._charge = admission, party, charge
        self.active, self.quota = active, None if charge is None else charge.quota
        self._held = True
        self._refunded = False

    def __enter__(self) -> Ticket:
        return self

    def __exit__(self, *_: object) -> None:
        if self._held:
            self._held = False
            self._admission._slots.release(self._party)

    def refund(self) -> Quota | None:
        """Give back, once, what a request cost that failed through our fault; return the quota after that."""
        if self._charge is not None and not self._refunded:
            self._refunded = True
            self.quota = self._admission._store.give_back(self._charge)
        return self.quota


class Admission:
    """The quotas of all callers, and the slots of one server. Thread-safe."""

    def __init__(self, config: Config, store: QuotaStore | None = None) -> None:
        """Start with every slot free; without a store, with the one that the settings name. Raises ConfigError."""
        self._allowance = Allowance(config.rate_per_minute, config.rate_per_day)
        self._store = _store_of(config) if store is None else store
        self._most_waiting = config.queue_per_address  # so that nobody fills the queue alone
        self._slots = SlotQueue(config.max_runs, config.queue, config.queue_s)

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
        return self._store.callers

    def admit(self, caller: Caller, now: Now, once: str = "", presence: Presence | None = None) -> Ticket:
        """Count a request, then take a slot, which may mean waiting for one; without a slot, nothing was counted.

        Args:
            once: what marks a request and its repetitions, which are charged once; "" if nothing does.
            presence: says whether the caller has gone, which ends the wait.

        Raises:
            RateLimitExceeded: the caller's minute or day is used up. ServerBusy: no slot. CallerGone: it left.
        """
        # In this order: a caller over the limit must not hold a place in the queue.
        charge = None if caller.unlimited else self._charge(caller, now, once)
        party = self._party(caller)
        try:
            active = self._slots.take(party, presence)
        except BaseException:
            if charge is not None:
                self._store.give_back(charge)
            raise
        return Ticket(self, party, charge, active)

    def charge(self, caller: Caller, now: Now) -> Quota:
        """Count a request that takes no slot, such as a large malformed one. Raises RateLimitExceeded."""
        return self._charge(caller, now).quota

    def quota(self, caller: Caller, now: Now) -> Quota:
        """Return a caller's quota as it stands, without counting anything or remembering the caller."""
        return self._store.look(caller.identity, self._allowance_of(caller), now)

    def _charge(self, caller: Caller, now: Now, once: str = "") -> Charge:
        return self._store.charge(caller.identity, self._allowance_of(caller), now, once)

    def _allowance_of(self, caller: Caller) -> Allowance:
        return self._allowance if caller.key is None else Allowance(caller.key.per_minute, caller.key.per_day)

    def _party(self, caller: Caller) -> Party:
        """Return whom a caller's slots and places in the queue count for."""
        if caller.key is not None:
            slots = caller.key.slots
            return Party(caller.identity, slots, None if slots is None else max(slots, self._most_waiting))
        return Party("admin") if caller.admin else Party(caller.identity, most_waiting=self._most_waiting)


def _store_of(config: Config) -> QuotaStore:
    if config.limits_url is None:
        return Memory(config.max_callers)
    # Not loaded otherwise, since it loads redis-py.
    from pyexec.quota_store.redis import Shared

    return Shared(config.limits_url, config.max_callers)
