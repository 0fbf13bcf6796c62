"""Which keys are checked at all: guesses are limited by address, but never at the expense of the key's owner.

A web page or a neighbour behind the same address may send any number of wrong keys. These must not be tried without
limit, use up the runs of that address, or lock out an admin who works from there.
"""

from __future__ import annotations

import collections
import threading

from pyexec import limits, units
from pyexec.accounts import Bucket, Now
from pyexec.callers import Caller
from pyexec.config import Config
from pyexec.errors import AuthenticationError, RateLimitExceeded


class Keys:
    """The key of one server, and the accounts of guesses. Thread-safe."""

    def __init__(self, config: Config) -> None:
        """Start with no address known and no guess made."""
        self._admin_key = config.admin_key
        self._rate, self._most = config.rate_per_minute, config.max_callers
        self._lock = threading.Lock()
        self._guesses: collections.OrderedDict[str, Bucket] = collections.OrderedDict()
        # Addresses that have shown the right key. Strangers can't enter this table, so they can't push anybody out.
        self._known: collections.OrderedDict[str, None] = collections.OrderedDict()

    @property
    def guessers(self) -> int:
        """Addresses whose guesses are remembered."""
        return len(self._guesses)

    def authenticate(self, caller: Caller, given: str, now: Now) -> Caller:
        """Return the caller as admin.

        Raises:
            AuthenticationError: the key is wrong. RateLimitExceeded: this minute's guesses are used up.
        """
        # Under the lock, so that simultaneous guesses don't exceed the limit.
        with self._lock:
            wait_s = self._wait_s(caller, now)
            if wait_s and caller.identity not in self._known:
                raise self._refusal(wait_s)  # even if the key is right, or guessing would go on at full speed
            try:
                admin = limits.authenticate(caller, given, self._admin_key)
            except AuthenticationError:
                if wait_s:
                    raise self._refusal(wait_s) from None
                self._count(caller, now)
                raise
            self._remember(caller)
            return admin

    def _wait_s(self, caller: Caller, now: Now) -> int:
        bucket = self._guesses.get(caller.identity)
        if bucket is None:
            return 0
        bucket.fill(self._rate, now.monotonic_s)
        return bucket.wait_s(self._rate)

    def _refusal(self, wait_s: int) -> RateLimitExceeded:
        keys = units.count(self._rate, "wrong API key")
        return RateLimitExceeded(f"Limit of {keys} per minute exceeded.", wait_s, "guesses")

    def _count(self, caller: Caller, now: Now) -> None:
        bucket = self._guesses.setdefault(caller.identity, Bucket(self._rate, now.monotonic_s))
        bucket.take()
        self._guesses.move_to_end(caller.identity)
        if len(self._guesses) > self._most:
            self._guesses.popitem(last=False)

    def _remember(self, caller: Caller) -> None:
        self._known[caller.identity] = None
        self._known.move_to_end(caller.identity)
        if len(self._known) > self._most:
            self._known.popitem(last=False)
