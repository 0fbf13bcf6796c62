"""What every store of quotas promises: one class of tests, which each store's own test file inherits.

Their time is the store's, so a test doesn't set it: it has time pass, by `pass_time`.
"""

from __future__ import annotations

from typing import List, Optional

import pytest
from support import in_threads

from pyexec.accounts import Allowance, Now, Quota
from pyexec.errors import RateLimitExceeded
from pyexec.quota_store import MOST_USES, Charge, QuotaStore

FIVE = Allowance(5, 30)
ANN, BOB, NET = "192.0.2.1", "192.0.2.2", "2001:db8::/64"
ONCE = "0f" * 32 + " an id, with spaces"


class Store:
    """A store under test, at a moment that the test chooses."""

    def __init__(self, store: QuotaStore) -> None:
        """Take the store, which is empty."""
        self.store = store

    def pass_time(self, seconds: float) -> None:
        """Have the store find that so much time has passed since the callers' last requests."""
        raise NotImplementedError

    def a_day_older(self, charge: Charge) -> Charge:
        """Return what a charge would be if it had been made before a day passed by `pass_time`."""
        return charge

    def now(self) -> Now:
        """Return the moment to tell the store."""
        return Now.read()

    def charge(self, identity: str = ANN, allowance: Allowance = FIVE, once: str = "") -> Charge:
        """Charge a caller. Raises RateLimitExceeded."""
        return self.store.charge(identity, allowance, self.now(), once)

    def look(self, identity: str = ANN, allowance: Allowance = FIVE) -> Quota:
        """Return a caller's quota."""
        return self.store.look(identity, allowance, self.now())

    def refused(self, identity: str = ANN, allowance: Allowance = FIVE) -> RateLimitExceeded:
        """Return the error that a caller gets."""
        with pytest.raises(RateLimitExceeded) as caught:
            self.charge(identity, allowance)
        return caught.value

    def used(self, identity: str = ANN) -> int:
        """Return a caller's requests of the day."""
        return self.look(identity).used_today


class QuotaSuite:
    """The tests; a subclass has a fixture `quotas`, which gives a `Store`."""

    def test_a_minutes_requests_may_come_at_once_and_no_more(self, quotas: Store) -> None:
        found = [quotas.charge().quota for _ in range(5)]
        assert [quota.minute_left for quota in found] == [4, 3, 2, 1, 0]
        assert [quota.used_today for quota in found] == [1, 2, 3, 4, 5]
        assert [quota.left_today for quota in found] == [29, 28, 27, 26, 25]
        assert (found[0].minute_limit, found[0].daily_limit) == (5, 30) and 1 <= found[0].day_reset_s <= 86400
        error = quotas.refused()
        assert error.message == "Limit of 5 requests per minute exceeded." and 11 <= error.retry_after_s <= 12

    def test_a_refusal_costs_nothing_and_postpones_nothing(self, quotas: Store) -> None:
        for _ in range(5):
            quotas.charge()
        for _ in range(6):
            quotas.pass_time(2.1)
            try:
                quotas.charge()
            except RateLimitExceeded:
                continue
            break
        else:
            raise AssertionError("twelve seconds gave no token")
        assert quotas.used() == 6

    def test_the_bucket_fills_at_its_rate_and_holds_a_minutes_requests(self, quotas: Store) -> None:
        for _ in range(5):
            quotas.charge()
        quotas.pass_time(24.1)
        assert quotas.look().minute_left == 2 and 35 <= quotas.look().minute_reset_s <= 36
        quotas.pass_time(3000)
        assert quotas.look().minute_left == 5 and quotas.look().minute_reset_s == 0

    def test_the_day_is_refused_first_and_by_its_name(self, quotas: Store) -> None:
        three = Allowance(3, 3)
        for _ in range(3):
            quotas.charge(allowance=three)
        error = quotas.refused(allowance=three)
        assert error.message == "Daily quota of 3 exceeded." and error.limit_name == "day"
        assert 1 <= error.retry_after_s <= 86400

    def test_another_day_begins_with_nothing_used(self, quotas: Store) -> None:
        for _ in range(3):
            quotas.charge()
        quotas.pass_time(86400)
        assert quotas.used() == 0
        assert quotas.charge().quota.used_today == 1

    def test_callers_do_not_share_a_quota(self, quotas: Store) -> None:
        for _ in range(5):
            quotas.charge()
        quotas.refused()
        assert quotas.charge(BOB).quota.used_today == 1
        assert quotas.charge(NET).quota.used_today == 1

    def test_an_allowance_is_the_callers_own(self, quotas: Store) -> None:
        generous = Allowance(60, 1000)
        found = [quotas.charge(BOB, generous).quota for _ in range(40)]
        assert found[-1].used_today == 40 and found[-1].minute_limit == 60 and found[-1].daily_limit == 1000
        assert quotas.charge(ANN).quota.daily_limit == 30

    def test_an_allowance_may_be_without_a_limit(self, quotas: Store) -> None:
        endless = Allowance(None, None)
        charges = [quotas.charge("key ann", endless) for _ in range(100)]
        assert charges[-1].quota.used_today == 100 and charges[-1].quota.left_today is None
        assert charges[-1].quota.minute_limit is None and charges[-1].quota.minute_reset_s == 0
        quota = quotas.store.give_back(charges[0])
        assert quota is not None and quota.used_today == 99
        assert quotas.charge("key bob", Allowance(None, 1)).quota.left_today == 0
        assert quotas.refused("key bob", Allowance(None, 1)).limit_name == "day"
        assert quotas.charge("key eve", Allowance(1, None)).quota.minute_left == 0
        assert 59 <= quotas.refused("key eve", Allowance(1, None)).retry_after_s <= 60

    def test_looking_counts_nothing(self, quotas: Store) -> None:
        assert [quotas.used() for _ in range(20)] == [0] * 20
        quotas.charge()
        assert [quotas.look().minute_left for _ in range(20)] == [4] * 20

    def test_what_is_given_back_may_be_used_again(self, quotas: Store) -> None:
        charges = [quotas.charge() for _ in range(5)]
        quotas.refused()
        quota = quotas.store.give_back(charges[0])
        assert quota is not None and (quota.used_today, quota.minute_left) == (4, 1)
        assert quotas.charge().quota.used_today == 5
        quotas.refused()

    def test_giving_back_never_gives_more_than_everything(self, quotas: Store) -> None:
        charge = quotas.charge()
        quotas.pass_time(3000)
        for _ in range(3):
            quota = quotas.store.give_back(charge)
        assert quota is not None and (quota.used_today, quota.minute_left) == (0, 5)

    def test_what_was_charged_yesterday_lessens_nothing_today(self, quotas: Store) -> None:
        charge = quotas.charge()
        quotas.pass_time(86400)
        quotas.charge()
        quotas.store.give_back(quotas.a_day_older(charge))
        assert quotas.used() == 1

    # -- repetitions --

    def test_a_repetition_is_charged_once_for_three_uses(self, quotas: Store) -> None:
        charges = [quotas.charge(once=ONCE) for _ in range(2 * MOST_USES + 1)]
        assert [charge.quota.used_today for charge in charges] == [1, 1, 1, 2, 2, 2, 3]
        assert [charge.paid for charge in charges] == [True, False, False] * 2 + [True]

    def test_a_repetition_is_another_request_after_two_minutes(self, quotas: Store) -> None:
        assert quotas.charge(once=ONCE).quota.used_today == 1
        quotas.pass_time(119)
        assert quotas.charge(once=ONCE).quota.used_today == 1
        quotas.pass_time(2)
        assert quotas.charge(once=ONCE).quota.used_today == 2

    def test_a_repetition_is_of_the_same_caller_and_request(self, quotas: Store) -> None:
        quotas.charge(once=ONCE)
        assert quotas.charge(BOB, once=ONCE).paid
        assert quotas.charge(once=ONCE + "2").paid
        assert quotas.used() == 2

    def test_a_repetition_passes_when_the_quota_is_used_up(self, quotas: Store) -> None:
        for number in range(5):
            quotas.charge(once=str(number))
        quotas.refused()
        assert not quotas.charge(once="4").paid

    def test_a_refused_request_pays_for_no_repetition(self, quotas: Store) -> None:
        for _ in range(5):
            quotas.charge()
        for _ in range(2):
            with pytest.raises(RateLimitExceeded):
                quotas.charge(once=ONCE)

    @pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
    def test_a_charge_is_given_back_with_its_last_use(self, quotas: Store, order: List[int]) -> None:
        charges = [quotas.charge(once=ONCE) for _ in range(3)]
        found: List[Optional[int]] = []
        for place in order:
            quota = quotas.store.give_back(charges[place])
            found.append(None if quota is None else quota.used_today)
        assert found == [1, 1, 0]
        assert quotas.charge(once=ONCE).paid

    def test_a_charge_stays_while_one_use_of_it_stands(self, quotas: Store) -> None:
        first, _ = quotas.charge(once=ONCE), quotas.charge(once=ONCE)
        quotas.store.give_back(first)
        assert quotas.used() == 1

    # -- many at once --

    def test_forty_at_once_get_five(self, quotas: Store) -> None:
        def work(place: int) -> bool:
            try:
                quotas.charge()
                return True
            except RateLimitExceeded:
                return False

        results = in_threads(40, work)
        assert results.count(True) == 5 and results.count(False) == 35, results

    def test_what_is_charged_and_given_back_at_once_adds_up(self, quotas: Store) -> None:
        plenty = Allowance(100000, 100000)

        def work(place: int) -> None:
            for number in range(25):
                charge = quotas.charge(BOB, plenty)
                if number % 5:
                    quotas.store.give_back(charge)

        assert in_threads(8, work) == [None] * 8
        assert quotas.look(BOB, plenty).used_today == 8 * 5
