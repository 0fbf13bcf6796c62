"""Where callers' quotas are counted: in this process's memory, or in a store that several nodes share.

A store knows identities, allowances and moments; it knows nothing of slots, keys or HTTP. `limits` asks it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pyexec import units
from pyexec.accounts import Allowance, Now, Quota
from pyexec.errors import RateLimitExceeded

# A proxy that repeats a request does so within seconds; whoever could repeat it for longer would have free runs.
REPEATED_WITHIN_S = 120
MOST_USES = 3


@dataclass(frozen=True)
class Charge:
    """What one request was charged, as its store needs it to give it back.

    Attributes:
        quota: the caller's after it. day: the day that it counts for, in the store's own numbering. once: what marks
            this request and its repetitions, "" if nothing does. paid: False for a repetition of one that was charged.
        shared: whether other nodes know of it.
    """

    identity: str
    allowance: Allowance
    quota: Quota
    day: int
    once: str = ""
    paid: bool = True
    shared: bool = False


class QuotaStore(Protocol):
    """The counters of all callers. Thread-safe; nothing takes longer than 0.5 s if the store is gone or hangs."""

    @property
    def callers(self) -> int:
        """Callers that this process remembers."""

    def charge(self, identity: str, allowance: Allowance, now: Now, once: str = "") -> Charge:
        """Count a request, or find that it repeats one that was charged. Raises RateLimitExceeded."""

    def give_back(self, charge: Charge) -> Quota | None:
        """Undo a charge, unless a repetition that it covers still stands; return the quota, None if it is forgotten."""

    def look(self, identity: str, allowance: Allowance, now: Now) -> Quota:
        """Return a quota as it stands, without counting anything or remembering the caller."""


def day_used_up(per_day: int, retry_after_s: int) -> RateLimitExceeded:
    """Return the error of a caller whose day is used up."""
    return RateLimitExceeded(f"Daily quota of {per_day} exceeded.", retry_after_s, "day")


def minute_used_up(per_minute: int, retry_after_s: int) -> RateLimitExceeded:
    """Return the error of a caller whose minute is used up."""
    return RateLimitExceeded(f"Limit of {units.count(per_minute, 'request')} per minute exceeded.", retry_after_s)
