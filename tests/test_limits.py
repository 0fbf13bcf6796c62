"""Who may run now: callers, buckets, days and slots of `limits.py`, with the time as an argument and never a sleep."""

from __future__ import annotations

import random
import re
import sys
import threading
import time
from datetime import datetime, timedelta, timezone
from typing import List, Tuple

import pytest
from support import in_threads

from pyexec import callers, limits
from pyexec.accounts import Now
from pyexec.api import response
from pyexec.api.keys import Keys
from pyexec.callers import Caller, identify
from pyexec.config import DEFAULT_PROXIES, Config, networks
from pyexec.errors import AuthenticationError, RateLimitExceeded, ServerBusy
from pyexec.limits import Limits, Quota

NOON = datetime(2024, 3, 15, 12, 0, 0, tzinfo=timezone.utc)
TRUSTED = networks(DEFAULT_PROXIES)
ANN, BOB = Caller("192.0.2.1", "192.0.2.1"), Caller("192.0.2.2", "192.0.2.2")
ADMIN = Caller("192.0.2.9", "192.0.2.9", admin=True)
HOUR = 3600.0
DAY = 24 * HOUR


def at(seconds: float, start: datetime = NOON, monotonic_s: float = 5000.0) -> Now:
    """Return the moment so many seconds after the start, on both clocks."""
    return Now(monotonic_s + seconds, start + timedelta(seconds=seconds))


def limits_of(**settings: int) -> Limits:
    return Limits(Config.of(**settings))


def refused(counters: Limits, caller: Caller, now: Now) -> RateLimitExceeded:
    with pytest.raises(RateLimitExceeded) as caught:
        counters.charge(caller, now)
    assert (caught.value.status, caught.value.type) == (429, "RateLimitExceeded")
    return caught.value


def use(counters: Limits, caller: Caller, times: int, now: Now) -> Quota:
    for _ in range(times):
        quota = counters.charge(caller, now)
    return quota


def test_now_is_now() -> None:
    before, now, after = time.monotonic(), Now.read(), time.monotonic()
    assert before <= now.monotonic_s <= after
    assert now.utc.utcoffset() == timedelta(0)
    assert abs((datetime.now(timezone.utc) - now.utc).total_seconds()) < 60


# -- the minute -------------------------------------------------------------------------------------------------------


def test_the_minutes_requests_may_come_at_once_and_no_more() -> None:
    counters = limits_of()
    left = [counters.charge(ANN, at(0)).minute_left for _ in range(5)]
    assert left == [4, 3, 2, 1, 0]
    error = refused(counters, ANN, at(0))
    assert error.message == "Limit of 5 requests per minute exceeded."
    assert error.retry_after_s == 12


def test_the_bucket_fills_at_its_rate() -> None:
    counters = limits_of()
    use(counters, ANN, 5, at(0))
    assert refused(counters, ANN, at(11)).retry_after_s == 1
    assert counters.charge(ANN, at(12)).minute_left == 0
    refused(counters, ANN, at(12))
    assert use(counters, ANN, 2, at(36)).minute_left == 0
    refused(counters, ANN, at(36))


def test_the_bucket_holds_no_more_than_a_minutes_requests() -> None:
    counters = limits_of()
    use(counters, ANN, 3, at(0))
    use(counters, ANN, 5, at(HOUR))
    assert refused(counters, ANN, at(HOUR)).message.startswith("Limit of 5 requests per minute")


@pytest.mark.parametrize(
    "rate, after_s, retry_after_s",
    [
        (1, 0, 60),
        (1, 59, 1),
        (1, 59.5, 1),
        (2, 0, 30),
        (5, 0, 12),
        (5, 0.25, 12),
        (5, 11.75, 1),
        (7, 0, 9),
        (60, 0, 1),
        (1000, 0, 1),
    ],
)
def test_retry_after_is_the_first_whole_second_that_helps(rate: int, after_s: float, retry_after_s: int) -> None:
    counters = limits_of(rate_per_minute=rate, rate_per_day=10 * rate)
    use(counters, ANN, rate, at(0))
    error = refused(counters, ANN, at(after_s))
    assert error.retry_after_s == retry_after_s
    assert counters.charge(ANN, at(after_s + retry_after_s)).used_today == rate + 1


def test_a_refusal_costs_nothing_and_does_not_postpone_the_refill() -> None:
    counters = limits_of()
    use(counters, ANN, 5, at(0))
    for tenth in range(1, 120):
        refused(counters, ANN, at(tenth / 10))
    assert counters.charge(ANN, at(12)).used_today == 6


def test_a_moment_that_comes_late_neither_fills_nor_breaks_anything() -> None:
    counters = limits_of()
    use(counters, ANN, 5, at(60))
    refused(counters, ANN, at(0))  # a thread that read its clock earlier
    refused(counters, ANN, at(71))
    counters.charge(ANN, at(72))


def test_callers_do_not_share_a_bucket() -> None:
    counters = limits_of()
    use(counters, ANN, 5, at(0))
    refused(counters, ANN, at(0))
    assert counters.charge(BOB, at(0)).used_today == 1


# -- the day ----------------------------------------------------------------------------------------------------------


def test_the_daily_quota_is_counted_and_then_refused() -> None:
    counters = limits_of(rate_per_minute=1000)
    quotas = [counters.charge(ANN, at(0)) for _ in range(30)]
    assert [quota.used_today for quota in quotas] == list(range(1, 31))
    assert [quota.left_today for quota in quotas] == list(range(29, -1, -1))
    error = refused(counters, ANN, at(0))
    assert error.message == "Daily quota of 30 exceeded."
    assert error.retry_after_s == 12 * 3600


def test_the_day_ends_at_midnight_utc_and_not_24_hours_later() -> None:
    counters = limits_of(rate_per_minute=1000, rate_per_day=3)
    use(counters, ANN, 3, at(0))
    error = refused(counters, ANN, at(12 * HOUR - 0.5))
    assert error.retry_after_s == 1
    assert counters.charge(ANN, at(12 * HOUR)).used_today == 1


@pytest.mark.parametrize(
    "utc, seconds",
    [
        (datetime(2024, 3, 15, 0, 0, 0), 86400),
        (datetime(2024, 3, 15, 0, 0, 0, 1), 86400),
        (datetime(2024, 3, 15, 23, 59, 59), 1),
        (datetime(2024, 3, 15, 23, 59, 59, 999999), 1),
        (datetime(2024, 2, 28, 12, 0, 0), 43200),
        (datetime(2023, 12, 31, 22, 0, 0), 7200),
    ],
)
def test_the_time_to_midnight(utc: datetime, seconds: int) -> None:
    now = Now(0.0, utc.replace(tzinfo=timezone.utc))
    counters = limits_of(rate_per_minute=1000, rate_per_day=1)
    assert counters.charge(ANN, now).day_reset_s == seconds
    assert refused(counters, ANN, now).retry_after_s == seconds


def test_the_day_is_named_before_the_minute_when_both_are_used_up() -> None:
    counters = limits_of(rate_per_minute=3, rate_per_day=3)
    use(counters, ANN, 3, at(0))
    assert refused(counters, ANN, at(0)).message == "Daily quota of 3 exceeded."


def test_a_refusal_for_the_minute_costs_nothing_of_the_day() -> None:
    counters = limits_of(rate_per_minute=2, rate_per_day=3)
    use(counters, ANN, 2, at(0))
    for _ in range(10):
        refused(counters, ANN, at(0))
    assert counters.charge(ANN, at(60)).left_today == 0


def test_a_clock_that_is_set_back_gives_nobody_a_new_day() -> None:
    counters = limits_of(rate_per_minute=1000, rate_per_day=2)
    use(counters, ANN, 2, at(0))
    for back_s in (HOUR, DAY, 400 * DAY):
        refused(counters, ANN, Now(5000.0, NOON - timedelta(seconds=back_s)))
    refused(counters, ANN, at(0))
    assert counters.charge(ANN, at(DAY)).used_today == 1


@pytest.mark.parametrize("ahead_s", [HOUR * 13, DAY, 400 * DAY, 100000 * DAY])
def test_a_clock_that_was_ahead_freezes_no_quota(ahead_s: float) -> None:
    counters = limits_of(rate_per_minute=1000, rate_per_day=2)
    use(counters, ANN, 2, Now(5000.0, NOON + timedelta(seconds=ahead_s)))
    error = refused(counters, ANN, at(1))  # set right again: that alone makes no new day
    assert error.retry_after_s == counters.quota(ANN, at(1)).day_reset_s == 12 * HOUR - 1
    assert refused(counters, ANN, at(12 * HOUR - 1)).retry_after_s == 1
    assert counters.charge(ANN, at(12 * HOUR)).used_today == 1  # the next midnight does
    counters.charge(ANN, at(13 * HOUR))
    assert refused(counters, ANN, at(13 * HOUR)).retry_after_s == 23 * HOUR


def test_a_clock_that_was_ahead_freezes_nobody_who_comes_days_later() -> None:
    counters = limits_of(rate_per_minute=1000, rate_per_day=1)
    counters.charge(ANN, Now(5000.0, NOON + timedelta(days=4000)))
    assert counters.charge(ANN, at(DAY)).used_today == 1
    refused(counters, ANN, at(DAY + HOUR))


def test_a_clock_that_jumps_back_and_forth_gives_one_day_a_day() -> None:
    counters = limits_of(rate_per_minute=1000000, rate_per_day=10)
    chance = random.Random(5)
    admitted = 0
    for minute in range(24 * 60):
        # Never ahead of the date on which it began, or that would be a new day indeed.
        back = timedelta(days=chance.choice([0, 0, 1, 30, 4000]) if minute else 0)
        date = NOON if minute < 12 * 60 else NOON - timedelta(days=1)
        try:
            counters.charge(ANN, Now(5000.0 + 60 * minute, date + timedelta(minutes=minute) - back))
            admitted += 1
        except RateLimitExceeded as error:
            assert 1 <= error.retry_after_s <= DAY
    assert admitted <= 20


def test_a_refund_finds_its_day_though_the_clock_was_ahead() -> None:
    counters = limits_of(rate_per_minute=1000, rate_per_day=5, max_runs=1)
    counters.charge(ANN, Now(5000.0, NOON + timedelta(days=4000)))
    with counters.admit(ANN, at(1)) as ticket:
        with pytest.raises(ServerBusy):
            counters.admit(ANN, at(1))
        assert counters.quota(ANN, at(1)).used_today == 2
        quota = ticket.refund()
    assert quota is not None and quota.used_today == 1


def test_a_bucket_does_not_wait_for_a_monotonic_clock_that_went_back() -> None:
    counters = limits_of(rate_per_day=1000)
    use(counters, ANN, 5, Now(1e9, NOON))
    refused(counters, ANN, Now(5000.0, NOON))  # which fills nothing by itself
    assert counters.charge(ANN, Now(5012.0, NOON)).minute_left == 0


def test_the_last_day_that_there_is() -> None:
    last = Now(5000.0, datetime(9999, 12, 31, 23, 59, 30, tzinfo=timezone.utc))
    assert limits_of().charge(ANN, last).day_reset_s == 30


def test_a_clock_that_is_set_back_does_not_stop_the_bucket() -> None:
    counters = limits_of()
    use(counters, ANN, 5, at(0))
    assert counters.charge(ANN, Now(5012.0, NOON - timedelta(days=2))).minute_left == 0


def test_a_new_day_does_not_fill_the_bucket() -> None:
    counters = limits_of()
    late = datetime(2024, 3, 15, 23, 59, 59, tzinfo=timezone.utc)
    use(counters, ANN, 5, at(0, late))
    assert refused(counters, ANN, at(2, late)).message.startswith("Limit of 5 requests per minute")
    assert counters.quota(ANN, at(2, late)).used_today == 0


# -- looking and giving back ------------------------------------------------------------------------------------------


def test_looking_at_a_quota_counts_nothing_and_remembers_nobody() -> None:
    counters = limits_of()
    full = Quota(30, 0, 5, 5, 0, 12 * 3600)
    assert [counters.quota(ANN, at(0)) for _ in range(100)] == [full] * 100
    assert counters.callers == 0
    counters.charge(ANN, at(0))
    assert counters.quota(ANN, at(0)) == Quota(30, 1, 5, 4, 12, 12 * 3600)
    assert counters.quota(ANN, at(6)) == Quota(30, 1, 5, 4, 6, 12 * 3600 - 6)
    assert counters.quota(ANN, at(DAY)) == Quota(30, 0, 5, 5, 0, 12 * 3600)
    assert counters.quota(BOB, at(0)) == full


def test_more_used_than_allowed_is_none_left() -> None:
    assert Quota(3, 5, 5, 0, 60, 1).left_today == 0


def test_a_refund_gives_back_what_the_request_cost() -> None:
    counters = limits_of(rate_per_minute=5, rate_per_day=5)
    tickets = [counters.admit(ANN, at(0)) for _ in range(5)]
    assert refused(counters, ANN, at(0)).message == "Daily quota of 5 exceeded."
    quota = tickets[0].refund()
    assert quota is not None and quota == tickets[0].quota
    assert (quota.used_today, quota.minute_left) == (4, 1)
    assert counters.charge(ANN, at(0)).left_today == 0
    refused(counters, ANN, at(0))


def test_a_refund_is_given_once() -> None:
    counters = limits_of()
    use(counters, ANN, 2, at(0))
    ticket = counters.admit(ANN, at(0))
    for _ in range(3):
        ticket.refund()
    assert counters.quota(ANN, at(0)).used_today == 2


def test_a_refund_never_gives_more_than_everything() -> None:
    counters = limits_of()
    ticket = counters.admit(ANN, at(0))
    assert counters.quota(ANN, at(100)).minute_left == 5
    ticket.refund()
    quota = counters.quota(ANN, at(100))
    assert (quota.used_today, quota.minute_left) == (0, 5)


def test_a_refund_after_midnight_does_not_lessen_the_new_day() -> None:
    counters = limits_of(max_runs=10)
    late = datetime(2024, 3, 15, 23, 59, 59, tzinfo=timezone.utc)
    ticket = counters.admit(ANN, at(0, late))
    assert counters.charge(ANN, at(2, late)).used_today == 1
    ticket.refund()
    assert counters.quota(ANN, at(3, late)).used_today == 1


def test_a_refund_to_a_caller_who_was_forgotten_is_nothing() -> None:
    counters = limits_of(max_callers=1)
    ticket = counters.admit(ANN, at(0))
    counters.charge(BOB, at(0))
    assert ticket.refund() is None
    assert counters.quota(ANN, at(0)).used_today == 0


def test_admins_are_not_counted_and_get_no_refund() -> None:
    counters = limits_of(rate_per_minute=1, rate_per_day=1)
    for _ in range(50):
        with counters.admit(ADMIN, at(0)) as ticket:
            assert ticket.quota is None
        assert ticket.refund() is None
    assert counters.callers == 0
    assert counters.charge(Caller(ADMIN.address, ADMIN.identity), at(0)).used_today == 1


# -- slots ------------------------------------------------------------------------------------------------------------


def test_slots_are_taken_and_given_back() -> None:
    counters = limits_of(rate_per_minute=1000, rate_per_day=1000, max_runs=2)
    assert counters.active == 0
    with counters.admit(ANN, at(0)) as first, counters.admit(BOB, at(0)) as second:
        assert (first.active, second.active, counters.active) == (0, 1, 2)
        with pytest.raises(ServerBusy) as caught:
            counters.admit(ANN, at(0))
        assert (caught.value.status, caught.value.retry_after_s >= 1) == (503, True)
    assert counters.active == 0


def test_a_slot_is_given_back_exactly_once() -> None:
    counters = limits_of(rate_per_minute=1000, rate_per_day=1000, max_runs=2)
    ticket = counters.admit(ANN, at(0))
    with counters.admit(ANN, at(0)):
        for _ in range(3):
            ticket.__exit__(None, None, None)
        assert counters.active == 1
    assert counters.active == 0


def test_a_slot_is_given_back_when_the_run_raises() -> None:
    counters = limits_of(max_runs=1)
    with pytest.raises(KeyError), counters.admit(ANN, at(0)):
        raise KeyError
    assert counters.active == 0


def test_a_refund_is_not_a_slot() -> None:
    counters = limits_of(max_runs=1)
    with counters.admit(ANN, at(0)) as ticket:
        ticket.refund()
        assert counters.active == 1


def test_a_refusal_takes_no_slot() -> None:
    counters = limits_of(rate_per_minute=1, max_runs=3)
    with counters.admit(ANN, at(0)):
        with pytest.raises(RateLimitExceeded):
            counters.admit(ANN, at(0))
        assert counters.active == 1
    assert counters.active == 0


def test_a_full_server_charges_nobody() -> None:
    counters = limits_of(max_runs=1)
    with counters.admit(ANN, at(0)):
        for caller in (ANN, BOB, ADMIN) * 100:
            with pytest.raises(ServerBusy):
                counters.admit(caller, at(0))
        assert counters.active == 1
        ann, bob = counters.quota(ANN, at(0)), counters.quota(BOB, at(0))
    assert (ann.used_today, ann.minute_left) == (1, 4)
    assert (bob.used_today, bob.minute_left) == (0, 5)


def test_a_used_up_quota_is_told_before_a_full_server() -> None:
    counters = limits_of(rate_per_minute=1, max_runs=1)
    with counters.admit(ANN, at(0)), pytest.raises(RateLimitExceeded):
        counters.admit(ANN, at(0))


def test_many_threads_never_have_more_slots_than_there_are() -> None:
    counters = limits_of(rate_per_minute=1000000, rate_per_day=1000000, max_runs=5)
    lock = threading.Lock()
    seen: List[int] = []
    running = [0]

    def work(place: int) -> Tuple[int, int]:
        caller = ADMIN if place % 8 == 0 else Caller(str(place % 4), str(place % 4))
        ran = busy = 0
        for _ in range(200):
            try:
                with counters.admit(caller, at(0)) as ticket:
                    with lock:
                        running[0] += 1
                        seen.append(running[0])
                    assert ticket.active < 5
                    time.sleep(0)  # to another thread
                    with lock:
                        running[0] -= 1
                ran += 0 if caller.admin else 1
            except ServerBusy:
                busy += 1
        return ran, busy

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        results = in_threads(32, work)
    finally:
        sys.setswitchinterval(interval)
    assert not [result for result in results if isinstance(result, Exception)]
    assert 1 < max(seen) <= 5
    assert counters.active == 0
    # Exactly what ran was counted, however often the server was full.
    used = sum(counters.quota(Caller(str(name), str(name)), at(0)).used_today for name in range(4))
    assert used == sum(ran for ran, _ in results)


def test_many_threads_never_get_more_than_their_quota() -> None:
    counters = limits_of(rate_per_minute=100, rate_per_day=70)

    def work(place: int) -> int:
        admitted = 0
        for _ in range(50):
            try:
                counters.charge(ANN, at(0))
                admitted += 1
            except RateLimitExceeded:
                pass
        return admitted

    assert sum(in_threads(16, work)) == 70


# -- the table of callers ---------------------------------------------------------------------------------------------


def test_however_many_callers_come_the_table_stays_bounded() -> None:
    counters = limits_of()
    for number in range(101000):
        counters.charge(Caller("", str(number)), at(0))
    assert counters.callers == 100000
    assert counters.quota(Caller("", "999"), at(0)).used_today == 0
    assert counters.quota(Caller("", "1000"), at(0)).used_today == 1


def test_the_longest_unseen_is_forgotten_first() -> None:
    counters = limits_of(max_callers=3)
    for name in "abcabd":  # a and b come again, c doesn't
        counters.charge(Caller("", name), at(0))
    assert {name: counters.quota(Caller("", name), at(0)).used_today for name in "abcd"} == {
        "a": 2,
        "b": 2,
        "c": 0,
        "d": 1,
    }
    assert counters.callers == 3


def test_who_is_refused_again_and_again_is_not_forgotten() -> None:
    counters = limits_of(max_callers=2, rate_per_minute=1)
    counters.charge(ANN, at(0))
    for number in range(10):
        counters.charge(Caller("", str(number)), at(0))
        refused(counters, ANN, at(0))


# -- whose request it is ----------------------------------------------------------------------------------------------

PROXY, STRANGER = "10.0.0.1", "203.0.113.7"


@pytest.mark.parametrize(
    "peer, header, address",
    [
        # no proxy in front
        (STRANGER, "", STRANGER),
        (PROXY, "", PROXY),
        ("127.0.0.1", "", "127.0.0.1"),
        # the peer is a proxy: the right-most address that is none
        (PROXY, "198.51.100.1", "198.51.100.1"),
        ("127.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("::1", "198.51.100.1", "198.51.100.1"),
        ("fd00::1", "198.51.100.1", "198.51.100.1"),
        ("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),
        (PROXY, "1.1.1.1, 2.2.2.2, 198.51.100.1", "198.51.100.1"),
        (PROXY, "1.1.1.1, 198.51.100.1, 192.168.0.9, 172.16.3.4", "198.51.100.1"),
        (PROXY, "198.51.100.1,127.0.0.1,::1,fd00::2", "198.51.100.1"),
        # all of them proxies: the left-most
        (PROXY, "192.168.7.7", "192.168.7.7"),
        (PROXY, "192.168.7.7, 10.9.9.9", "192.168.7.7"),
        # the peer is a stranger: nothing it says counts
        (STRANGER, "198.51.100.1", STRANGER),
        (STRANGER, "127.0.0.1", STRANGER),
        (STRANGER, "10.0.0.1, 10.0.0.2", STRANGER),
        ("2001:db8::1", "198.51.100.1", "2001:db8::1"),
        ("172.32.0.1", "198.51.100.1", "172.32.0.1"),
        ("11.0.0.1", "198.51.100.1", "11.0.0.1"),
        # spoofed by the client, the true one appended by the proxy
        (PROXY, "127.0.0.1, 203.0.113.7", STRANGER),
        (PROXY, "garbage, 203.0.113.7", STRANGER),
        (PROXY, ", , 203.0.113.7", STRANGER),
        # garbage where it counts: the last that was believed
        (PROXY, "198.51.100.1, garbage", PROXY),
        (PROXY, "198.51.100.1, garbage, 192.168.1.1", "192.168.1.1"),
        (PROXY, "unknown", PROXY),
        (PROXY, "_hidden", PROXY),
        (PROXY, ",,,", PROXY),
        (PROXY, " ", PROXY),
        # spellings
        (PROXY, "198.51.100.1:8080", "198.51.100.1"),
        (PROXY, "  198.51.100.1\t", "198.51.100.1"),
        (PROXY, '"198.51.100.1:8080"', "198.51.100.1"),
        (PROXY, "2001:db8::1", "2001:db8::1"),
        (PROXY, "2001:DB8:0:0::1", "2001:db8::1"),
        (PROXY, "[2001:db8::1]", "2001:db8::1"),
        (PROXY, "[2001:db8::1]:443", "2001:db8::1"),
        (PROXY, '"[2001:db8::1]:443"', "2001:db8::1"),
        (PROXY, "fe80::1%eth0", "fe80::1"),
        (PROXY, "[fe80::1%eth0]:80", "fe80::1"),
        (PROXY, "::ffff:198.51.100.1", "198.51.100.1"),
        (PROXY, "[::ffff:198.51.100.1]:80", "198.51.100.1"),
        (PROXY, "198.51.100.1, ::ffff:10.1.1.1", "198.51.100.1"),
        ("fe80::1%eth0", "", "fe80::1"),
        ("::ffff:203.0.113.7", "198.51.100.1", STRANGER),
        # no address at all: a Unix socket
        ("local", "198.51.100.1", "local"),
        ("", "198.51.100.1", ""),
    ],
)
def test_whose_request_it_is(peer: str, header: str, address: str) -> None:
    caller = callers.identify(peer, header, TRUSTED)
    assert (caller.address, caller.admin) == (address, False)
    if ":" not in address:
        assert caller.identity == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "-",
        "unknown",
        "x" * 100000,
        "1",
        "1.2.3",
        "1.2.3.4.5",
        "256.1.1.1",
        "01.2.3.4",
        "1.2.3.-4",
        "0x7f.0.0.1",
    ]
    + ["::g", "1::2::3", "[", "]", "[]", "]::1[", ":::", "::ffff:999.1.1.1", "%eth0", "\x00", "é", "１.２.３.４"]
    + ["١.1.1.1", "1.2.3.4/32", "::/0", "localhost", "\ud800", "1.2.3.4 5.6.7.8", "http://1.2.3.4", "for=1.2.3.4"],
)
def test_garbage_never_raises_and_makes_no_identity(text: str) -> None:
    for header in (text, "198.51.100.1, " + text, text + ", " + text):
        caller = callers.identify(PROXY, header, TRUSTED)
        assert caller.identity == PROXY
    if "," not in text:
        assert callers.identify(PROXY, text + ", 198.51.100.1", TRUSTED).identity == "198.51.100.1"


def test_a_million_elements_are_read_from_the_right_and_no_further() -> None:
    started = time.process_time()
    caller = callers.identify(PROXY, "9.9.9.9," * 1000000 + "198.51.100.1, 10.0.0.2", TRUSTED)
    assert caller.address == "198.51.100.1"
    assert time.process_time() - started < 2


def test_the_last_64_bits_of_an_ipv6_address_make_no_new_caller() -> None:
    same = {
        callers.identify(address, "", ()).identity for address in ("2001:db8::1", "2001:db8:0:0:ffff::", "2001:db8::")
    }
    assert same == {"2001:db8::/64"}
    assert callers.identify("2001:db8:0:1::1", "", ()).identity == "2001:db8:0:1::/64"
    assert callers.identify(PROXY, "2001:db8::5", TRUSTED).identity == "2001:db8::/64"
    counters = limits_of()
    for number in range(5):
        counters.charge(callers.identify("2001:db8::%x" % number, "", ()), at(0))
    refused(counters, callers.identify("2001:db8::ffff", "", ()), at(0))
    assert counters.callers == 1


def test_every_ipv4_address_is_a_caller_of_its_own() -> None:
    identities = {callers.identify("192.0.2.%d" % number, "", ()).identity for number in range(256)}
    assert len(identities) == 256


def test_whoever_trusts_nobody_believes_nothing() -> None:
    assert callers.identify("127.0.0.1", "198.51.100.1", ()).address == "127.0.0.1"


def test_whoever_trusts_everybody_ends_at_the_left() -> None:
    everybody = networks("0.0.0.0/0 ::/0")
    assert callers.identify("203.0.113.7", "198.51.100.1, 2001:db8::1", everybody).address == "198.51.100.1"


# -- keys -------------------------------------------------------------------------------------------------------------


def test_the_right_key_makes_an_admin() -> None:
    for key in ("secret", "ключ", "a b", "\U0001f600"):
        assert limits.authenticate(ANN, key, key) == Caller(ANN.address, ANN.identity, admin=True)


@pytest.mark.parametrize("configured", ["secret", None])
def test_no_key_is_a_public_request(configured: str) -> None:
    assert limits.authenticate(ANN, None, configured) is ANN


@pytest.mark.parametrize(
    "given", ["", " ", "Secret", "secret ", " secret", "secre", "secrets", "sécret", "s\0", "None", "x" * 100000]
)
@pytest.mark.parametrize("configured", ["secret", None])
def test_a_wrong_key_is_refused_whether_or_not_there_is_one(given: str, configured: str) -> None:
    with pytest.raises(AuthenticationError) as caught:
        limits.authenticate(ANN, given, configured)
    assert (caught.value.status, caught.value.message) == (401, "The API key is not valid.")


@pytest.mark.parametrize("given, configured", [("secret", "secret"), ("x", "secret"), ("x", None), ("", None)])
def test_keys_are_compared_in_constant_time_always(
    monkeypatch: pytest.MonkeyPatch, given: str, configured: str
) -> None:
    compared = []

    def compare(left: bytes, right: bytes) -> bool:
        compared.append((left, right))
        return left == right

    monkeypatch.setattr(limits.hmac, "compare_digest", compare)
    try:
        limits.authenticate(ANN, given, configured)
    except AuthenticationError:
        pass
    assert compared == [(given.encode("utf-8"), (configured or "").encode("utf-8"))]


SECRET = "5ecret"


def keys_of(**settings: object) -> Keys:
    return Keys(Config.of(admin_key=SECRET, **settings))


def guess(keys: Keys, caller: Caller, now: Now, key: str = "x") -> str:
    """Return what became of a key: "admin" or the type of the refusal."""
    try:
        return "admin" if keys.authenticate(caller, key, now).admin else "public"
    except (AuthenticationError, RateLimitExceeded) as error:
        return error.type


def test_guesses_are_limited_by_the_minute_and_not_by_the_day() -> None:
    keys = keys_of(rate_per_minute=3, rate_per_day=3)
    assert [guess(keys, ANN, at(0)) for _ in range(5)] == ["AuthenticationError"] * 3 + ["RateLimitExceeded"] * 2
    with pytest.raises(RateLimitExceeded) as caught:
        keys.authenticate(ANN, "x", at(1))
    assert (caught.value.retry_after_s, caught.value.limit_name) == (19, "guesses")
    assert caught.value.message == "Limit of 3 wrong API keys per minute exceeded."
    for minute in range(1, 20):  # far more than a day has of runs
        assert [guess(keys, ANN, at(60 * minute)) for _ in range(4)] == ["AuthenticationError"] * 3 + [
            "RateLimitExceeded"
        ]


def test_no_key_is_looked_at_while_the_guesses_are_used_up() -> None:
    keys = keys_of(rate_per_minute=2)
    for _ in range(2):
        guess(keys, ANN, at(0))
    assert guess(keys, ANN, at(0), SECRET) == "RateLimitExceeded"
    assert guess(keys, BOB, at(0), SECRET) == "admin"  # from elsewhere it is
    assert guess(keys, ANN, at(30), SECRET) == "admin"


def test_wrong_keys_never_bar_the_right_one_where_it_was_used_before() -> None:
    keys = keys_of(rate_per_minute=2)
    assert guess(keys, ANN, at(0), SECRET) == "admin"
    found = [guess(keys, ANN, at(0)) for _ in range(50)]
    assert found == ["AuthenticationError"] * 2 + ["RateLimitExceeded"] * 48
    assert [guess(keys, ANN, at(0), SECRET) for _ in range(50)] == ["admin"] * 50
    assert guess(keys, ANN, at(0)) == "RateLimitExceeded"  # the right one pays for no guess
    # An address that is near isn't the same, but one of the same /64 is.
    assert guess(keys, callers.identify("2001:db8::1", "", ()), at(0), SECRET) == "admin"
    for _ in range(3):
        guess(keys, callers.identify("2001:db8::2", "", ()), at(0))
    assert guess(keys, callers.identify("2001:db8::3", "", ()), at(0), SECRET) == "admin"


def test_the_right_key_costs_no_guess() -> None:
    keys = keys_of(rate_per_minute=1)
    assert [guess(keys, ANN, at(0), SECRET) for _ in range(10)] == ["admin"] * 10
    assert guess(keys, ANN, at(0)) == "AuthenticationError"


def test_guesses_made_at_once_are_no_more() -> None:
    keys = keys_of(rate_per_minute=5)
    found = in_threads(64, lambda _: guess(keys, ANN, at(0)))
    assert sorted(found) == ["AuthenticationError"] * 5 + ["RateLimitExceeded"] * 59


def test_the_tables_of_guessers_stay_bounded_and_strangers_push_nobody_out() -> None:
    keys = keys_of(max_callers=10, rate_per_minute=1)
    guess(keys, ANN, at(0), SECRET)
    for number in range(1000):
        assert guess(keys, Caller("", str(number)), at(0)) == "AuthenticationError"
    assert keys.guessers == 10
    guess(keys, ANN, at(0))
    assert guess(keys, ANN, at(0), SECRET) == "admin"
    for number in range(20):
        guess(keys, Caller("", "admin %d" % number), at(0), SECRET)
    assert len(keys._known) == 10


def test_a_server_without_a_key_counts_guesses_too() -> None:
    keys = Keys(Config.of(rate_per_minute=1))
    assert [guess(keys, ANN, at(0), key) for key in ("", SECRET)] == ["AuthenticationError", "RateLimitExceeded"]


# -- what the caller is told ------------------------------------------------------------------------------------------

# A list of strings with integer parameters, as RFC 9651 writes structured fields.
_MEMBER = r'"[a-z]+"(?:;[a-z]+=[0-9]{1,15})+'
_LIST = re.compile(_MEMBER + "(?:, " + _MEMBER + r")*\Z")


def test_the_quota_as_header_fields() -> None:
    counters = limits_of()
    use(counters, ANN, 2, at(0))
    fields = dict(response.rate_limit_fields(counters.quota(ANN, at(3.5))))
    assert fields == {
        "RateLimit-Policy": '"minute";q=5;w=60, "day";q=30;w=86400',
        "RateLimit": '"minute";r=3;t=21, "day";r=28;t=43197',
    }


def test_the_header_fields_are_always_well_formed() -> None:
    chance = random.Random(1)
    for _ in range(300):
        counters = limits_of(
            rate_per_minute=chance.choice([1, 7, 1000000]), rate_per_day=chance.choice([1, 30, 1000000])
        )
        seconds = 0.0
        for _ in range(10):
            seconds += chance.random() * 40
            try:
                quota = counters.charge(ANN, at(seconds))
            except RateLimitExceeded as error:
                assert error.retry_after_s >= 1
                quota = counters.quota(ANN, at(seconds))
            for _, value in response.rate_limit_fields(quota):
                assert _LIST.match(value), value


def test_a_long_chain_of_proxies_is_not_walked_to_its_end() -> None:
    """Parsing an address takes as long as parsing a small request."""
    chain = ", ".join(["198.51.100.1"] + ["10.0.0.%d" % n for n in range(250)])
    assert identify("127.0.0.1", chain, Config.of().trusted_proxies).identity == "10.0.0.230"
    few = ", ".join(["198.51.100.1"] + ["10.0.0.%d" % n for n in range(19)])
    assert identify("127.0.0.1", few, Config.of().trusted_proxies).identity == "198.51.100.1"
