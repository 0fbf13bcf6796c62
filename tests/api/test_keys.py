"""The admin key, and what guesses at it cost."""

from __future__ import annotations

import pytest
from counters import ANN, BOB, at
from support import in_threads

from pyexec import callers
from pyexec.accounts import Now
from pyexec.api.keys import Keys
from pyexec.callers import Caller
from pyexec.config import Config
from pyexec.errors import AuthenticationError, RateLimitExceeded

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
