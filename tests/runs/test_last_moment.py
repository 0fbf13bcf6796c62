"""A run whose time is nearly up: when it is asked where it is, how often, and what is taken from its standard error."""

from __future__ import annotations

import os
import time
from typing import Any, Iterator, List

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyexec import messages
from pyexec.job import ENDED, RESOURCE, TIMEOUT
from pyexec.runs.hearsay import Hearsay
from pyexec.runs.last_moment import LastMoment

SOURCE = "def work(n):\n    return sum(range(n))\nwork(10**12)\n"
STACK = (
    b'Stack (most recent call first):\n  File "script.py", line 2 in work\n  File "script.py", line 3 in <module>\n'
    b'  File "/usr/lib/pyexec/child/script.py", line 171 in execute\n'
)
PLACE = {"type": "E", "message": "", "line": 1, "code": "", "frames": []}


class FakeChild:
    """A run that notes what it is sent."""

    def __init__(self, admin: bool = False) -> None:
        self.admin, self.hearsay = admin, Hearsay()
        self.signals: List[int] = []
        self.streams = [-1, -1, os.memfd_create("stderr")]

    def signal_all(self, number: int) -> None:
        self.signals.append(number)


@pytest.fixture
def child() -> Iterator[Any]:
    made = FakeChild()
    yield made
    os.close(made.streams[2])


def due(child: Any) -> LastMoment:
    """Return the last moment of a run whose time is up."""
    now = time.monotonic()
    return LastMoment(child, now - 10, now)


def test_it_is_asked_once_each_way(child: Any) -> None:
    last = due(child)
    for _ in range(3):
        last.ask()
    assert child.signals == [messages.LATE_SIGNAL, messages.STUCK_SIGNAL] and last.next_at == float("inf")


def test_nothing_is_asked_before_time(child: Any) -> None:
    now = time.monotonic()
    last = LastMoment(child, now, now + 1000)
    last.ask()
    assert child.signals == [] and now + 999.8 < last.next_at < now + 1000


def test_a_short_run_is_asked_half_way(child: Any) -> None:
    assert LastMoment(child, 100.0, 100.1).next_at == pytest.approx(100.05)


def test_a_run_that_has_answered_is_not_asked_for_its_stack(child: Any) -> None:
    last = due(child)
    last.ask()
    child.hearsay.take({"late": PLACE})
    last.ask()
    assert child.signals == [messages.LATE_SIGNAL]
    assert child.hearsay.about(TIMEOUT, -9) == (PLACE, None)
    assert child.hearsay.about(ENDED, 3) == (None, None)  # it went on, and ended otherwise


def test_it_is_asked_once_about_memory_and_again_about_time(child: Any) -> None:
    last = due(child)
    for _ in range(2):
        last.ask_about_memory()
    assert child.signals == [messages.LATE_SIGNAL]
    large = {"name": "rows", "size_bytes": 1 << 29, "value": "[]"}
    child.hearsay.take({"late": dict(PLACE, largest=[large])})
    found, _ = child.hearsay.about(RESOURCE, -9, "memory")
    assert found["type"] == "MemoryError" and found["largest"] == [large]
    assert child.hearsay.about(RESOURCE, -9, "disk") == (None, None)
    assert child.hearsay.about(TIMEOUT, -9) == (PLACE, None)
    last.ask()
    last.ask()
    assert child.signals == [messages.LATE_SIGNAL] * 2 + [messages.STUCK_SIGNAL]


def test_an_admins_processes_are_not_asked_for_their_stacks() -> None:
    admin = FakeChild(admin=True)
    last = due(admin)
    last.ask()
    last.ask()
    assert admin.signals == [messages.LATE_SIGNAL]
    os.close(admin.streams[2])


def test_one_that_can_not_be_reached_tells_nothing(child: Any) -> None:
    def refuse(number: int) -> None:
        raise OSError

    child.signal_all = refuse
    last = due(child)
    last.ask()
    last.ask()
    assert last.without_stack(b"x", SOURCE) == b"x"


def asked(child: Any, before: bytes) -> LastMoment:
    """Return the last moment of a run that had written this when it was asked for its stack."""
    os.write(child.streams[2], before)
    last = due(child)
    last.ask()
    last.ask()
    return last


def test_the_stack_is_taken_out_of_standard_error(child: Any) -> None:
    last = asked(child, b"before\n")
    assert last.without_stack(b"before\n" + STACK + b"after", SOURCE) == b"before\nafter"
    found, _ = child.hearsay.about(TIMEOUT, -9)
    assert found is not None and "C code" in found["message"]
    assert (found["line"], found["code"]) == (2, "return sum(range(n))")
    assert found["frames"] == [
        {"line": 2, "function": "work", "code": "return sum(range(n))"},
        {"line": 3, "function": "<module>", "code": "work(10**12)"},
    ]


def test_what_the_script_wrote_stays(child: Any) -> None:
    """Even if it looks the same; and without having asked nothing is looked for."""
    assert due(child).without_stack(STACK, SOURCE) == STACK
    last = asked(child, STACK)
    assert last.without_stack(STACK, SOURCE) == STACK
    assert last.without_stack(STACK + STACK[:50], SOURCE) == STACK
    assert last.without_stack(STACK + b"Stack (most", SOURCE) == STACK + b"Stack (most"


def test_a_stack_without_the_script_tells_nothing(child: Any) -> None:
    last = asked(child, b"")
    text = b"Stack (most recent call first):\n" + b'  File "x", line 1 in f\n' * 200 + b"  ...\n"
    assert last.without_stack(text + b"rest", SOURCE) == b"rest"
    assert child.hearsay.about(TIMEOUT, -9) == (None, None)


_PIECES = [b"Stack (most recent call first):\n", b'  File "script.py", line ', b'  File "', b'", line ', b"9", b" in f"]
_PIECES += [b"\n", b"  ...\n", b"\xff", b"x" * 600, b"  "]


@given(st.lists(st.sampled_from(_PIECES), max_size=40).map(b"".join))
def test_any_standard_error_is_taken(text: bytes) -> None:
    child: Any = FakeChild()
    try:
        left = asked(child, b"").without_stack(text, SOURCE)
    finally:
        os.close(child.streams[2])
    assert len(left) <= len(text)
    found, _ = child.hearsay.about(TIMEOUT, -9)
    assert found is None or found["frames"]


def test_a_long_line_is_not_looked_at_again_and_again(child: Any) -> None:
    """Were it, this would take hours."""
    last = asked(child, b"")
    text = STACK + b'  File "' + b'", line 1 in f' * 300000
    assert last.without_stack(text, SOURCE) == b""
