"""How values are shown: what of them, in how many characters, and whatever their own code does."""

from __future__ import annotations

import collections
import contextlib
import itertools
import sys
import time
from typing import Any, List

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyexec.child.guarded import Guard
from pyexec.child.printer import Printer, clip


def shown(value: Any, most: int = 200) -> str:
    """Return a value as a report shows it."""
    with Guard() as guard:
        return Printer(guard).show(value, most)


class Plain:
    """An object without a text of its own."""

    def __init__(self, **held: Any) -> None:
        vars(self).update(held)


Pair = collections.namedtuple("Pair", "left right")
EXACT: List[Any] = [
    (None, "None"),
    (True, "True"),
    (1.5, "1.5"),
    (-7, "-7"),
    ("it's", '"it\'s"'),
    (b"a\0", r"b'a\x00'"),
    ([], "[]"),
    ((), "()"),
    ((1,), "(1,)"),
    (set(), "set()"),
    (frozenset(), "frozenset({})"),
    ({}, "{}"),
    ({"a": [1, 2]}, "{'a': [1, 2]}"),
    (list(range(1000)), "[0, 1, 2, 3, 4, 5, … 994 more]"),
    (dict.fromkeys(range(100)), "{0: None, 1: None, 2: None, 3: None, 4: None, 5: None, … 94 more}"),
    ([[[[1]]]], "[[[[… 1]]]]"),
    (collections.deque(range(9)), "deque([0, 1, 2, 3, 4, 5, … 3 more])"),
    (collections.Counter("aab"), "Counter({'a': 2, 'b': 1})"),
    (collections.defaultdict(list, a=[1]), "defaultdict({'a': [1]})"),
    (Pair(1, "x"), "Pair(left=1, right='x')"),
    (Plain(x=1, y="a"), "<Plain x=1, y='a'>"),
    (Plain(), "<Plain object>"),
    (object(), "<object object>"),
    (10**100000, "<int of 332,193 bits>"),
    (numpy.zeros((3, 4)), "array of 3 × 4, float64: 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, …"),
    (numpy.arange(3), "array of 3 values, int64: 0, 1, 2"),
    (numpy.array([None]), "array of 1 values, object"),
    (numpy.array(5), "array of one value, int64: 5"),
    (len, "<function len>"),
    (Plain, "<class 'Plain'>"),
    (sys, "<module 'sys'>"),
]


@pytest.mark.parametrize("value, text", EXACT, ids=[text[:20] for _, text in EXACT])
def test_values_as_shown(value: Any, text: str) -> None:
    assert shown(value) == text


def test_what_is_cut_is_told() -> None:
    assert shown("x" * 1000, 100).endswith("… 1,000 characters") and len(shown("x" * 1000, 100)) <= 100
    assert shown(b"x" * 1000, 100).endswith("… 1,000 bytes")
    assert clip("x" * 1000, 100).endswith("more") and len(clip("x" * 1000, 100)) == 100
    assert clip("x" * 9, 5) == "xxxx…"


def test_circles_end() -> None:
    circle: List[Any] = [1]
    circle.append(circle)
    assert shown(circle) == "[1, …]"
    held = Plain()
    held.me = held  # type: ignore[attr-defined]
    assert shown(held) == "<Plain me=…>"


class Endless:
    """Never returns its text."""

    def __repr__(self) -> str:
        while True:
            pass


class Stubborn:
    """Survives the first interruption."""

    def __repr__(self) -> str:
        with contextlib.suppress(BaseException):
            while True:
                pass
        return "survived"


class Sleeping:
    """Waits."""

    def __repr__(self) -> str:
        time.sleep(60)
        return "awake"


class Recursive:
    """Asks itself."""

    def __repr__(self) -> str:
        return repr(self)


class Huge:
    """Has a long text."""

    def __repr__(self) -> str:
        return "x" * 10_000_000


class Raising:
    """Has no text."""

    def __repr__(self) -> str:
        raise KeyError("no")


class Exiting:
    """Ends the interpreter if it can."""

    def __repr__(self) -> str:
        raise SystemExit(3)


class Odd(str):
    """A text whose own methods are hostile."""

    def __str__(self) -> str:
        raise KeyError

    def __len__(self) -> int:
        raise KeyError


class OddRepr:
    """Returns such a text."""

    def __repr__(self) -> str:
        return Odd("odd")


class Meta(type):
    """A class whose names are hostile."""

    @property
    def __name__(cls) -> str:  # type: ignore[override]
        raise KeyError

    @property
    def __mro__(cls) -> Any:  # type: ignore[override]
        raise KeyError


class OfMeta(metaclass=Meta):
    """An object of it."""


class HostileAttributes:
    """Fights back when asked for any attribute."""

    def __getattribute__(self, name: str) -> Any:
        raise KeyError(name)


HOSTILE = [Endless, Stubborn, Sleeping, Recursive, Huge, Raising, Exiting, OddRepr, OfMeta, HostileAttributes]


@pytest.mark.parametrize("kind", HOSTILE, ids=lambda kind: type.__dict__["__name__"].__get__(kind))
def test_hostile_reprs_are_bounded(kind: Any) -> None:
    """In time as well: were one waited for, this test would never end."""
    for value in (kind(), [kind()], {"a": (kind(),)}, Plain(inner=kind())):
        assert len(shown(value)) <= 200


def test_a_million_endless_reprs_take_no_longer_than_the_first() -> None:
    with Guard() as guard:
        printer = Printer(guard)
        texts = [printer.show(Endless(), 100) for _ in range(1000)]
    assert "takes too long" in texts[0] and texts[-1] == "<Endless object>"


def test_a_repr_that_prints_prints_nowhere(capsys: Any) -> None:
    class Printing:
        def __repr__(self) -> str:
            print("to stdout")
            print("to stderr", file=sys.stderr)
            sys.stdout.flush()
            return "quiet"

    streams = sys.stdout, sys.stderr
    assert shown(Printing()) == "quiet"
    assert (sys.stdout, sys.stderr) == streams and capsys.readouterr() == ("", "")


def test_containers_of_any_size_cost_the_same() -> None:
    """None of them is asked for its whole text, or the guard would have interrupted that."""
    assert shown(list(itertools.repeat(Raising(), 1000000))).endswith(" more]")
    assert "more" in shown({n: str(n) for n in range(1000000)})


def test_the_recursion_limit_and_the_timer_are_put_back() -> None:
    import signal

    before = sys.getrecursionlimit(), signal.getsignal(signal.SIGALRM)
    shown(Recursive())
    assert (sys.getrecursionlimit(), signal.getsignal(signal.SIGALRM)) == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


_LEAVES = st.one_of(st.none(), st.integers(), st.floats(), st.text(max_size=300), st.binary(max_size=300))
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=9), st.dictionaries(st.text(max_size=40), inner, max_size=9), st.tuples(inner, inner)
    ),
    max_leaves=60,
)


@given(_VALUES, st.integers(16, 500))
def test_no_value_is_longer_than_asked_for(value: Any, most: int) -> None:
    assert len(shown(value, most)) <= most


@given(st.one_of(_LEAVES, st.lists(st.integers(-9, 9), max_size=6)))
def test_what_is_short_is_shown_as_python_shows_it(value: Any) -> None:
    if len(repr(value)) <= 100:
        assert shown(value, 200) == repr(value)
