"""Whose key it is, and which keys are looked at: guesses are limited by address, never at the expense of a key's owner.

A web page or a neighbour behind the same address may send any number of wrong keys. These must not be tried without
limit, use up the runs of that address, or lock out the holder of a key who works from there.
"""

from __future__ import annotations

import collections
import hmac
import secrets
import threading
from typing import Sequence

from pyexec import units
from pyexec.accounts import Bucket, Now
from pyexec.callers import Caller
from pyexec.config import Config
from pyexec.errors import AuthenticationError, RateLimitExceeded
from pyexec.key_file import SHORTEST_KEY, NamedKey, digest_of

_GUESSES = 5  # a minute, where runs have no limit


class Keys:
    """The keys of one server, and the accounts of guesses. Thread-safe."""

    def __init__(self, config: Config, named: Sequence[NamedKey] = ()) -> None:
        """Start with no address known and no guess made."""
        # Without an admin key, one that nobody has.
        self._admin = secrets.token_bytes(32) if config.admin_key is None else digest_of(config.admin_key)
        self._named = tuple(named)
        self._rate, self._most = config.rate_per_minute or _GUESSES, config.max_callers
        self._lock = threading.Lock()
        self._guesses: collections.OrderedDict[str, Bucket] = collections.OrderedDict()
        # Addresses, each with a key that it has shown. Strangers can't enter, so they can't push anybody out.
        self._known: collections.OrderedDict[tuple[str, bytes], None] = collections.OrderedDict()

    def replace(self, named: Sequence[NamedKey]) -> None:
        """Know these named keys from now on; requests that were admitted with others go on."""
        with self._lock:
            self._named = tuple(named)

    @property
    def guessers(self) -> int:
        """Addresses whose guesses are remembered."""
        return len(self._guesses)

    def authenticate(self, caller: Caller, given: str, now: Now) -> Caller:
        """Return the caller with what the key lets it do.

        Raises:
            AuthenticationError: the key is wrong. RateLimitExceeded: this minute's guesses are used up.
        """
        shown = caller.identity, digest_of(given)
        # Under the lock, so that simultaneous guesses don't exceed the limit.
        with self._lock:
            wait_s = self._wait_s(caller, now)
            found = self._holder(caller, given, shown[1])
            if wait_s and (found is None or shown not in self._known):
                raise self._refusal(wait_s)  # even if the key is right, or guessing would go on at full speed
            if found is None:
                self._count(caller, now)
                raise AuthenticationError("The API key is not valid.")
            self._remember(shown)
            return found

    def _holder(self, caller: Caller, given: str, digest: bytes) -> Caller | None:
        """Return the caller as the holder of a key, None if there is no such key."""
        # All are compared, whatever has been found, so that the time taken tells nothing.
        is_admin, found = hmac.compare_digest(digest, self._admin), None
        for key in self._named:
            if hmac.compare_digest(digest, key.digest):
                found = key
        if is_admin:
            return Caller(caller.address, caller.identity, admin=True)
        if found is None or len(given) < SHORTEST_KEY:
            return None
        return Caller(caller.address, "key " + found.name, found.admin, found)

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

    def _remember(self, shown: tuple[str, bytes]) -> None:
        self._known[shown] = None
        self._known.move_to_end(shown)
        if len(self._known) > self._most:
            self._known.popitem(last=False)
