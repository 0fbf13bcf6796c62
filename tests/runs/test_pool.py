"""A pool, with children that are none: what waits, what is dropped, and when it gives up."""

from __future__ import annotations

import threading
import time
from typing import Any, List, Optional

import pytest

from pyexec.errors import LayerError, SandboxError
from pyexec.runs.pool import RETRY_S, Pool
from pyexec.runs.slots import Slot, Slots


class FakeChild:
    """A child that is what the test says."""

    def __init__(self, slot: Slot) -> None:
        self.slot = slot
        self.zygote: Any = None
        self.fault: Optional[Exception] = None
        self.order_fault: Optional[Exception] = None
        self.ready = False

    def order_from(self, zygote: Any) -> None:
        if self.order_fault is not None:
            raise self.order_fault
        self.zygote = zygote

    def look(self) -> None:
        if self.fault is not None:
            raise self.fault

    def await_ready(self, deadline: float) -> None:
        self.look()


class Bench:
    """A pool, and what it made and gave back."""

    def __init__(self, target: int = 2, slots: int = 6) -> None:
        self.made: List[FakeChild] = []
        self.released: List[FakeChild] = []
        self.fault: Optional[Exception] = None  # of the next children
        self.make_fault: Optional[Exception] = None
        self.order_fault: Optional[Exception] = None
        self.slots = Slots(slots)
        self.pool = Pool(False, target, threading.Condition(), self.slots, self._make, self._release)  # type: ignore[arg-type]

    def _make(self, slot: Slot, admin: bool) -> FakeChild:
        if self.make_fault is not None:
            raise self.make_fault
        self.made.append(FakeChild(slot))
        self.made[-1].fault, self.made[-1].order_fault = self.fault, self.order_fault
        return self.made[-1]

    def _release(self, child: FakeChild) -> None:
        self.released.append(child)
        self.slots.free(child.slot)


ZYGOTE, NEXT = object(), object()


def _soon(seconds: float = 0.0) -> float:
    return time.monotonic() + seconds


def test_as_many_wait_as_should_and_a_second_look_changes_nothing() -> None:
    bench = Bench()
    for _ in range(3):
        assert bench.pool.repair(ZYGOTE)  # type: ignore[arg-type]
        assert len(bench.pool) == len(bench.made) == 2 and not bench.released


def test_the_longest_waiting_is_taken_first_and_replaced_at_the_next_look() -> None:
    bench = Bench()
    bench.pool.repair(ZYGOTE)  # type: ignore[arg-type]
    assert bench.pool.take(_soon()) is bench.made[0]
    assert len(bench.made) == 2
    bench.pool.repair(ZYGOTE)  # type: ignore[arg-type]
    assert len(bench.pool) == 2 and len(bench.made) == 3


def test_whoever_finds_none_orders_one() -> None:
    bench = Bench(target=0)
    bench.pool.repair(ZYGOTE)  # type: ignore[arg-type]
    assert not bench.made
    assert bench.pool.take(_soon()) is bench.made[0]


def test_children_of_a_zygote_that_was_replaced_go() -> None:
    bench = Bench()
    bench.pool.repair(ZYGOTE)  # type: ignore[arg-type]
    assert not bench.pool.repair(None)
    assert len(bench.pool) == 0 and bench.released == bench.made[:2]
    assert bench.pool.repair(NEXT)  # type: ignore[arg-type]
    assert [child.zygote for child in bench.pool.waiting()] == [NEXT, NEXT]  # type: ignore[comparison-overlap]


@pytest.mark.parametrize("fault", [SandboxError("it died"), LayerError("landlock", "no")])
def test_one_that_is_of_no_use_is_replaced_while_it_waits(fault) -> None:
    bench = Bench()
    bench.pool.repair(ZYGOTE)  # type: ignore[arg-type]
    bench.made[0].fault = fault
    assert bench.pool.repair(ZYGOTE)  # type: ignore[arg-type]
    assert bench.released == [bench.made[0]] and bench.pool.waiting() == bench.made[1:]  # type: ignore[comparison-overlap]


def test_one_that_died_while_it_waited_makes_nobody_fail() -> None:
    bench = Bench()
    bench.pool.repair(ZYGOTE)  # type: ignore[arg-type]
    bench.made[0].fault = SandboxError("it died")
    assert bench.pool.take(_soon(1)) is bench.made[1]
    assert bench.released == [bench.made[0]]


def test_a_layer_that_fails_is_the_callers_answer() -> None:
    bench = Bench(target=0)
    bench.fault = LayerError("seccomp", "no")
    bench.pool.repair(ZYGOTE)  # type: ignore[arg-type]
    with pytest.raises(LayerError):
        bench.pool.take(_soon(5))
    assert len(bench.released) == 1


def test_children_that_all_die_are_made_with_a_pause() -> None:
    bench = Bench()
    bench.fault = SandboxError("it died")
    bench.pool.repair(ZYGOTE)  # type: ignore[arg-type]
    with pytest.raises(SandboxError):
        bench.pool.take(_soon(10 * RETRY_S))
    made = len(bench.made)
    assert 3 <= made <= 14 and bench.released == bench.made
    for _ in range(50):
        bench.pool.repair(ZYGOTE)  # type: ignore[arg-type]
    assert len(bench.made) <= made + 2
    bench.fault = None
    time.sleep(RETRY_S)
    assert bench.pool.take(_soon(1)).fault is None  # type: ignore[attr-defined]


@pytest.mark.parametrize("fault", [OSError(24, "no descriptor"), MemoryError()])
@pytest.mark.parametrize("what", ["make_fault", "order_fault"])
def test_what_can_not_be_made_now_is_tried_again_later_and_no_slot_is_lost(fault, what) -> None:
    bench = Bench()
    setattr(bench, what, fault)
    for _ in range(20):
        assert not bench.pool.repair(ZYGOTE)  # type: ignore[arg-type]
    assert len(bench.made) <= 1 and bench.slots.free_count == 6
    with pytest.raises(SandboxError, match="in time"):
        bench.pool.take(_soon(0.05))
    setattr(bench, what, None)
    time.sleep(RETRY_S)
    assert bench.pool.repair(ZYGOTE) and bench.slots.free_count == 4  # type: ignore[arg-type]


def test_a_directory_that_can_not_be_made_is_the_callers_answer_and_holds_no_keeper_up() -> None:
    bench = Bench()
    bench.make_fault = LayerError("workdir", "No space left on device")
    assert not bench.pool.repair(ZYGOTE)  # type: ignore[arg-type]
    time.sleep(RETRY_S)
    with pytest.raises(LayerError, match="No space"):
        bench.pool.take(_soon(5))
    assert bench.slots.free_count == 6


def test_without_a_zygote_or_a_slot_a_caller_waits_until_there_is_one() -> None:
    bench = Bench(target=0, slots=1)
    with pytest.raises(SandboxError, match="in time"):
        bench.pool.take(_soon(0.01))
    timer = threading.Timer(0.05, bench.pool.repair, [ZYGOTE])
    timer.start()
    first = bench.pool.take(_soon(10))
    timer.join()
    with pytest.raises(SandboxError, match="in time"):
        bench.pool.take(_soon(0.01))
    bench.slots.free(first.slot)
    assert bench.pool.take(_soon(10)).slot.index == first.slot.index


def test_the_first_is_lent_while_nobody_else_can_look_at_it() -> None:
    """A keeper that read the reason of a child's failure first would close it under whoever waits for that word."""
    bench = Bench(target=1)
    bench.fault = LayerError("identity", "Input/output error")
    bench.pool.repair(ZYGOTE)  # type: ignore[arg-type]
    keeper = threading.Thread(target=bench.pool.repair, args=(ZYGOTE,))
    released_before_the_word: List[bool] = []

    def await_ready(deadline: float) -> None:
        keeper.start()
        keeper.join(0.3)
        released_before_the_word.append(bool(bench.released))
        bench.made[0].look()

    bench.made[0].await_ready = await_ready  # type: ignore[method-assign]
    with pytest.raises(LayerError, match="identity"):
        with bench.pool.first_ready(_soon(5)):
            pass
    keeper.join()
    assert released_before_the_word == [False] and bench.released[0] is bench.made[0]


def test_the_first_is_ordered_if_none_waits_and_stays() -> None:
    bench = Bench(target=1)
    bench.pool.repair(ZYGOTE)  # type: ignore[arg-type]
    bench.pool.take(_soon())
    with bench.pool.first_ready(_soon(5)) as child:
        assert child is bench.made[1]  # type: ignore[comparison-overlap]
    assert bench.pool.waiting() == [child] and not bench.released


def test_a_closed_one_gives_nothing() -> None:
    bench = Bench()
    bench.pool.closed = True
    with pytest.raises(SandboxError, match="closed"):
        bench.pool.take(_soon(10))
