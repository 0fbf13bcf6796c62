"""The admin key and named keys, and what guesses at them cost."""

from __future__ import annotations

from typing import List, Optional, Tuple

import pytest
from counters import ANN, BOB, at
from support import in_threads

from pyexec import callers
from pyexec.accounts import Now
from pyexec.api import keys as keys_module
from pyexec.api.keys import Keys
from pyexec.callers import Caller
from pyexec.config import Config
from pyexec.errors import AuthenticationError, RateLimitExceeded
from pyexec.key_file import SHORTEST_KEY, NamedKey, digest_of

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


# -- which key it is ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["secret", "ключ", "a b", "\U0001f600"])
def test_the_right_key_makes_an_admin(key: str) -> None:
    found = Keys(Config.of(admin_key=key)).authenticate(ANN, key, at(0))
    assert found == Caller(ANN.address, ANN.identity, admin=True) and found.unlimited


@pytest.mark.parametrize(
    "given", ["", " ", "Secret", "secret ", " secret", "secre", "secrets", "sécret", "s\0", "None", "x" * 100000]
)
@pytest.mark.parametrize("configured", ["secret", None])
def test_a_wrong_key_is_refused_whether_or_not_there_is_one(given: str, configured: Optional[str]) -> None:
    with pytest.raises(AuthenticationError) as caught:
        Keys(Config.of(admin_key=configured)).authenticate(ANN, given, at(0))
    assert (caught.value.status, caught.value.message) == (401, "The API key is not valid.")


LONG, OTHER = "k" * SHORTEST_KEY, "o" * SHORTEST_KEY
ACME = NamedKey("acme", digest_of(LONG), 7, None)
BOSS = NamedKey("boss", digest_of(OTHER), None, 3, admin=True, slots=2)


@pytest.mark.parametrize("given", [SECRET, LONG, OTHER, "x", ""])
@pytest.mark.parametrize("configured", [SECRET, None])
def test_every_key_is_compared_whatever_was_given(
    monkeypatch: pytest.MonkeyPatch, given: str, configured: Optional[str]
) -> None:
    compared: List[Tuple[bytes, bytes]] = []

    def compare(left: bytes, right: bytes) -> bool:
        compared.append((left, right))
        return left == right

    monkeypatch.setattr(keys_module.hmac, "compare_digest", compare)
    guess(Keys(Config.of(admin_key=configured), [ACME, BOSS]), ANN, at(0), given)
    assert {left for left, _ in compared} == {digest_of(given)}
    assert [right for _, right in compared][1:] == [ACME.digest, BOSS.digest]
    assert all(len(right) == 32 for _, right in compared)


def test_a_named_key_names_its_account_and_what_it_may_do() -> None:
    keys = Keys(Config.of(admin_key=SECRET), [ACME, BOSS])
    acme, boss = keys.authenticate(ANN, LONG, at(0)), keys.authenticate(ANN, OTHER, at(0))
    assert acme == Caller(ANN.address, "key acme", key=ACME) and not acme.unlimited
    assert boss == Caller(ANN.address, "key boss", admin=True, key=BOSS) and not boss.unlimited


def test_a_named_key_under_twenty_characters_never_matches() -> None:
    short = "k" * (SHORTEST_KEY - 1)
    keys = Keys(Config.of(admin_key="a"), [NamedKey("short", digest_of(short), 5, 5), ACME])
    assert guess(keys, ANN, at(0), short) == "AuthenticationError"
    assert guess(keys, ANN, at(0), LONG) == "public"
    assert guess(keys, ANN, at(0), "a") == "admin"  # the admin key may be shorter, which is warned of at start


def test_once_guesses_are_used_up_only_a_key_that_the_address_has_shown_is_looked_at() -> None:
    """Or the holder of any key could guess at all others without limit."""
    keys = Keys(Config.of(admin_key=SECRET, rate_per_minute=1), [ACME, BOSS])
    assert guess(keys, ANN, at(0), LONG) == "public"
    assert guess(keys, ANN, at(0)) == "AuthenticationError"
    assert guess(keys, ANN, at(0), SECRET) == "RateLimitExceeded"
    assert guess(keys, ANN, at(0), OTHER) == "RateLimitExceeded"
    assert guess(keys, ANN, at(0), LONG) == "public"
    assert guess(keys, ANN, at(60), OTHER) == "admin"


def test_keys_that_are_replaced_count_from_then_on() -> None:
    keys = Keys(Config.of(admin_key=SECRET), [ACME])
    keys.replace([BOSS])
    assert guess(keys, ANN, at(0), LONG) == "AuthenticationError"
    assert guess(keys, ANN, at(0), OTHER) == guess(keys, ANN, at(0), SECRET) == "admin"


def test_guesses_have_a_limit_where_runs_have_none() -> None:
    keys = Keys(Config.of(rate_per_minute=None))
    assert [guess(keys, ANN, at(0)) for _ in range(6)] == ["AuthenticationError"] * 5 + ["RateLimitExceeded"]
