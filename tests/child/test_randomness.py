"""Children of one zygote draw different random numbers, however their numpy keeps its state."""

from __future__ import annotations

import os

import numpy
import numpy.random  # which numpy loads when it is first used
import pytest

from pyexec.child import randomness


def _drawn_by_a_child(discard) -> str:
    """Return what a forked process draws after it has discarded what it shares."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            discard()
            drawn = numpy.random.random(), numpy.random.normal(), numpy.random.randint(1 << 62)
            os.write(write, repr(drawn).encode())
        finally:
            os._exit(0)
    os.close(write)
    with open(read) as file:
        said = file.read()
    os.waitpid(pid, 0)
    assert said, "the child failed"
    return said


@pytest.mark.parametrize("found", [True, False], ids=["state found", "state not found"])
def test_children_draw_different_numbers(monkeypatch, found: bool) -> None:
    if not found:
        monkeypatch.setattr(randomness, "_find_numpy_state", lambda: 0)
    else:
        assert randomness._find_numpy_state(), "this numpy keeps its state elsewhere: children are slower to start"
    same = {_drawn_by_a_child(lambda: None) for _ in range(3)}
    assert len(same) == 1, "without it they would draw the same"
    discard = randomness.prepare()
    assert len({_drawn_by_a_child(discard) for _ in range(5)}) == 5


def test_the_second_of_two_normal_deviates_is_not_shared() -> None:
    """`normal` makes two at a time and keeps one, which isn't among the words that a child replaces."""
    numpy.random.normal()
    assert numpy.random.get_state()[3] == 1
    discard = randomness.prepare()
    discard()
    assert numpy.random.get_state()[3] == 0


def test_a_state_that_is_elsewhere_is_not_written_to(monkeypatch) -> None:
    class Elsewhere:
        class ctypes:
            state_address = id(object)  # readable, and something else

        state = {"state": {"key": numpy.zeros(624, dtype="uint32")}}

    rand = type("Rand", (), {"_bit_generator": Elsewhere})
    monkeypatch.setattr(numpy.random, "seed", lambda: None)
    monkeypatch.setattr(numpy.random.mtrand, "_rand", rand)
    assert randomness._find_numpy_state() == 0
