"""Who may run now: buckets, days and slots of `limits.py`, with the time as an argument and never a sleep."""

from __future__ import annotations

import random
import sys
import threading
import time
from datetime import datetime, timedelta, timezone
from typing import List, Tuple

import pytest
from counters import ADMIN, ANN, BOB, DAY, HOUR, NOON, at, limits_of, refused, use
from support import in_threads

from pyexec import limits
from pyexec.accounts import Now
from pyexec.callers import Caller
from pyexec.errors import AuthenticationError, RateLimitExceeded, ServerBusy
from pyexec.limits import Quota


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
