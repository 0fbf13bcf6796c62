"""Callers' quotas in Redis or Valkey, which all nodes ask: a caller has one quota, whichever node a request lands on.

One script does all of it, by the store's clock, so that neither races between nodes nor their clocks matter. When the
store is gone or hangs, each node counts in its own memory, and no request waits for it longer than 0.5 s.
"""

from __future__ import annotations

import math
from typing import Any

from pyexec.accounts import ROUNDING, Allowance, Now, Quota
from pyexec.quota_store import MOST_USES, REPEATED_WITHIN_S, Charge, day_used_up, minute_used_up
from pyexec.quota_store.connections import Connections, Unreachable
from pyexec.quota_store.memory import Memory

_TOKEN = 1_000_000  # the script counts in millionths, since a script's numbers come back without their fraction

# KEYS: the caller's account; the uses of a charge. ARGV: charge, give_back or look; requests a minute; a day; "1" if
# the request may be repeated; the day that a charge was for; "1" if it was paid. A limit of 0 is none. The account has
# tokens (t), when they were counted (f, microseconds), the day (d) and its requests (u), and lives as long as it says
# anything. Returned: ok, repeated, day or minute; tokens; requests of the day; the day; seconds to the next.
SCRIPT = f"""
local now = redis.call('TIME')
local us, today = now[1] * 1000000 + now[2], math.floor(now[1] / 86400)
local rest_s = 86400 - now[1] % 86400
local rate, daily, full = tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[2] * {_TOKEN}
local held = redis.call('HMGET', KEYS[1], 't', 'f', 'd', 'u')
local tokens, filled = tonumber(held[1]) or full, tonumber(held[2]) or us
local day, used = tonumber(held[3]) or today, tonumber(held[4]) or 0
tokens = math.min(full, tokens + math.max(0, us - filled) * rate / 60)
if today > day or day > today + 1 then day, used = today, 0 end
local uses = ARGV[4] == '1' and tonumber(redis.call('GET', KEYS[2])) or 0
local verdict = 'ok'
if ARGV[1] == 'charge' then
    if uses > 0 and uses < {MOST_USES} then
        redis.call('INCR', KEYS[2])
        verdict = 'repeated'
    elseif daily > 0 and used >= daily then
        verdict = 'day'
    elseif rate > 0 and tokens < {_TOKEN - 1} then
        verdict = 'minute'
    else
        tokens, used = math.max(0, tokens - {_TOKEN}), used + 1
        if ARGV[4] == '1' then redis.call('SET', KEYS[2], '1', 'EX', {REPEATED_WITHIN_S}) end
    end
elseif ARGV[1] == 'give_back' then
    local due = ARGV[6] == '1'
    if uses > 0 then
        due = uses == 1
        if due then redis.call('DEL', KEYS[2]) else redis.call('DECR', KEYS[2]) end
    end
    if due then
        tokens = math.min(full, tokens + {_TOKEN})
        if day == tonumber(ARGV[5]) then used = math.max(0, used - 1) end
    end
end
if ARGV[1] ~= 'look' and verdict ~= 'day' and verdict ~= 'minute' then
    redis.call('HSET', KEYS[1], 't', string.format('%.0f', tokens), 'f', string.format('%.0f', us), 'd', day, 'u', used)
    redis.call('EXPIRE', KEYS[1], rest_s + 60)
end
return {{verdict, math.floor(tokens), used, day, rest_s}}
"""


class Shared:
    """The counters of all nodes, and those of this one for when the others can't be reached. Thread-safe."""

    def __init__(self, url: str, max_callers: int) -> None:
        """Begin to connect. Raises ConfigError without redis-py."""
        self._own = Memory(max_callers)
        self._connections = Connections(url, SCRIPT)

    @property
    def callers(self) -> int:
        """Callers that this node has counted by itself."""
        return self._own.callers

    def charge(self, identity: str, allowance: Allowance, now: Now, once: str = "") -> Charge:
        """Count a request, or find that it repeats one that was charged. Raises RateLimitExceeded."""
        try:
            verdict, *found = self._ask("charge", identity, allowance, once)
        except Unreachable:
            return self._own.charge(identity, allowance, now, once)
        quota = _quota(allowance, found)
        if verdict == b"day" and allowance.per_day is not None:
            raise day_used_up(allowance.per_day, quota.day_reset_s)
        if verdict == b"minute" and allowance.per_minute is not None:
            missing = 1 - found[0] / _TOKEN
            wait_s = math.ceil(missing * 60 / allowance.per_minute - ROUNDING)
            raise minute_used_up(allowance.per_minute, max(1, wait_s))
        return Charge(identity, allowance, quota, found[2], once, verdict == b"ok", shared=True)

    def give_back(self, charge: Charge) -> Quota | None:
        """Undo a charge, unless a repetition that it covers still stands; return the quota, None if it is forgotten."""
        if not charge.shared:
            return self._own.give_back(charge)
        try:
            found = self._ask("give_back", charge.identity, charge.allowance, charge.once, charge.day, charge.paid)
        except Unreachable:
            return None
        return _quota(charge.allowance, found[1:])

    def look(self, identity: str, allowance: Allowance, now: Now) -> Quota:
        """Return a quota as it stands, without counting anything or remembering the caller."""
        try:
            return _quota(allowance, self._ask("look", identity, allowance)[1:])
        except Unreachable:
            return self._own.look(identity, allowance, now)

    def _ask(
        self, what: str, identity: str, allowance: Allowance, once: str = "", day: int = 0, paid: bool = False
    ) -> list[Any]:
        """Return what the script says. Raises Unreachable."""
        account = f"pyexec:{{{identity}}}"
        arguments = [what, allowance.per_minute or 0, allowance.per_day or 0, int(bool(once)), day, int(paid)]
        found = self._connections.call([account, f"{account}:{once}"], arguments)
        return list(found)


def _quota(allowance: Allowance, found: list[Any]) -> Quota:
    rate, tokens = allowance.per_minute, found[0] / _TOKEN
    return Quota(
        daily_limit=allowance.per_day,
        used_today=found[1],
        minute_limit=rate,
        minute_left=int(tokens + ROUNDING),
        minute_reset_s=0 if rate is None else max(0, math.ceil((rate - tokens) * 60 / rate - ROUNDING)),
        day_reset_s=max(1, found[3]),
    )
