"""Slots: a uid is one run's until nothing of that run is left, whoever says so and how often."""

from __future__ import annotations

from typing import Dict, List

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyexec.runs.slots import Slot, Slots


def test_the_slot_that_has_been_free_longest_is_taken_first() -> None:
    slots = Slots(3)
    first, second = slots.take(), slots.take()
    assert first is not None and second is not None and (first.index, second.index) == (0, 1)
    slots.free(first)
    third, again = slots.take(), slots.take()
    assert third is not None and again is not None and (third.index, again.index) == (2, 0)
    assert slots.take() is None


def test_one_that_is_given_back_twice_or_late_frees_nothing_of_the_next() -> None:
    slots = Slots(1)
    old = slots.take()
    assert old is not None
    slots.free(old)
    slots.free(old)
    assert slots.free_count == 1
    new = slots.take()
    assert new is not None and new.index == old.index and new.generation != old.generation
    slots.free(old)
    assert slots.free_count == 0 and slots.take() is None
    slots.free(Slot(99, 1))  # of nobody that is known
    slots.free(new)
    assert slots.free_count == 1


def test_it_is_free_when_its_run_is_gone_and_not_before() -> None:
    slots, gone = Slots(1), [False]
    slot = slots.take()
    assert slot is not None
    slots.free_when(slot, lambda: gone[0])
    assert slots.reclaim() and slots.free_count == 0
    gone[0] = True
    assert not slots.reclaim() and slots.free_count == 1
    assert not slots.reclaim() and slots.free_count == 1


def test_there_must_be_one() -> None:
    with pytest.raises(ValueError, match="at least one slot"):
        Slots(0)


@given(st.integers(1, 4), st.lists(st.integers(0, 9), max_size=60))
def test_no_two_runs_ever_have_one(count: int, steps: List[int]) -> None:
    slots = Slots(count)
    held: Dict[int, Slot] = {}
    past: List[Slot] = []
    for step in steps:
        if step < 5:
            slot = slots.take()
            assert (slot is None) == (len(held) == count)
            if slot is not None:
                assert slot.index not in held
                held[slot.index] = slot
        elif step < 8 and held:
            slot = held.pop(sorted(held)[step % len(held)])
            past.append(slot)
            slots.free(slot)
        elif past:  # hearsay
            slots.free(past[step % len(past)])
        assert slots.free_count == count - len(held)
