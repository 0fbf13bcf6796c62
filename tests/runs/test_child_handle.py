"""A child's handle with a fake other end of its sockets: what happens to a run, from two witnesses."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import subprocess
import time
from typing import Any, Iterator, Optional, Tuple

import pytest

from pyexec import messages
from pyexec.errors import LayerError, SandboxError
from pyexec.job import ENDED, TIMEOUT
from pyexec.kernel import libc
from pyexec.messages import Death, Order
from pyexec.runs import processes
from pyexec.runs.child_handle import ChildHandle
from pyexec.runs.events import Abandoned, Died, Ended, Forbidden, Late, Lost, Unbegun
from pyexec.runs.slots import Slot
from pyexec.runs.zygote_handles import ZygoteHandle


class FakeZygote:
    """Stands for a zygote that was told to fork, and for the child that it made."""

    def __init__(self) -> None:
        self.order: Optional[Order] = None
        self.is_gone, self.is_alive = False, True

    def note_child(self, change: int) -> None:
        self.children = getattr(self, "children", 0) + change

    def send_order(self, order: Order, descriptors: Tuple[int, ...]) -> None:
        self.order = order
        self.channel, self.status = (socket.socket(fileno=os.dup(fd)) for fd in descriptors[:2])

    def gone(self) -> bool:
        return self.is_gone

    def alive(self) -> bool:
        return self.is_alive

    def say(self, kind: str, payload: Any = None, descriptors: Tuple[int, ...] = ()) -> None:
        messages.send(self.channel, kind, payload, descriptors)

    def tell(self, code: int, cpu_limit_s: int = 0) -> None:
        self.status.send(messages.encode_death(Death(code, cpu_limit_s)))

    def close(self) -> None:
        self.channel.close()
        self.status.close()


@pytest.fixture(params=[False, True], ids=["public", "admin"])
def pair(request: Any) -> Iterator[Tuple[ChildHandle, FakeZygote]]:
    child, zygote = ChildHandle(Slot(3, 1), request.param), FakeZygote()
    child.order_from(zygote)  # type: ignore[arg-type]
    yield child, zygote
    child.close()
    zygote.close()


def _greet(zygote: FakeZygote) -> None:
    """Say hello with a directory, and the pidfd of a process that has ended."""
    process = subprocess.Popen(["true"])
    pidfd, directory = libc.pidfd_open(process.pid), os.open("/", os.O_RDONLY)
    process.wait()
    zygote.say(messages.HELLO, None, (pidfd, directory))
    for fd in (pidfd, directory):
        os.close(fd)
    zygote.say(messages.LAYERS)


def _next(child: ChildHandle) -> object:
    return child.next_event(time.monotonic())


def test_the_order_names_slot_and_kind(pair) -> None:
    child, zygote = pair
    assert zygote.order == Order(3, child.admin, "")


def test_it_is_ready_once_every_layer_is_on(pair) -> None:
    child, zygote = pair
    with pytest.raises(SandboxError, match="too long"):
        child.await_ready(time.monotonic())
    _greet(zygote)
    child.await_ready(time.monotonic())
    assert child.ready and child.pidfd >= 0 and child.directory_fd >= 0
    assert isinstance(_next(child), Late)


def test_without_a_descriptor_for_its_stat_nothing_of_a_hello_gets_lost(pair, monkeypatch) -> None:
    """Its directory came with the same message, and would stay open for good."""
    child, zygote = pair

    def fail(pidfd: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(processes, "open_stat", fail)
        _greet(zygote)
        child.await_ready(time.monotonic())
    assert child.ready and child.directory_fd >= 0


def test_a_word_while_it_waits_means_that_it_waits_no_more(pair) -> None:
    child, zygote = pair
    _greet(zygote)
    child.look()
    zygote.say(messages.EXIT, {"code": -9})
    for look in (child.look, lambda: child.await_ready(time.monotonic())):
        with pytest.raises(SandboxError, match="killed while it waited"):
            look()


def test_layers_without_a_hello_are_not_enough(pair) -> None:
    child, zygote = pair
    zygote.say(messages.LAYERS)
    with pytest.raises(SandboxError, match="too long"):
        child.await_ready(time.monotonic())


def test_a_layer_that_failed_is_named(pair) -> None:
    child, zygote = pair
    zygote.say(messages.FAILED, {"layer": "landlock", "reason": "no"})
    zygote.tell(70)  # it has ended by now
    with pytest.raises(LayerError, match="landlock"):
        child.await_ready(time.monotonic())


@pytest.mark.parametrize("word", [b"Q", b"X{}", b"\xff", b"J"])
def test_nonsense_before_the_job_is_no_child(pair, word) -> None:
    child, zygote = pair
    zygote.channel.send(word)
    with pytest.raises(SandboxError):
        child.await_ready(time.monotonic())


GOOD = {"type": "E", "message": "", "line": None, "code": "", "frames": []}


def test_what_it_says_of_itself_is_kept_and_its_end_is_what_comes_next(pair) -> None:
    child, zygote = pair
    _greet(zygote)
    child.await_ready(time.monotonic())
    zygote.say(messages.REPORT, {"error": GOOD})
    assert isinstance(_next(child), Late)
    zygote.say(messages.REPORT, {"error": {"type": "malformed"}})
    zygote.say(messages.REPORT, {"value": {"repr": "1"}})
    zygote.say(messages.EXIT, {"code": 1})
    assert _next(child) == Ended(1)  # however late we are
    assert child.hearsay.about(ENDED, 1) == (GOOD, None)
    assert child.hearsay.about(ENDED, 0) == (None, {"repr": "1"})
    assert child.hearsay.about(TIMEOUT, -9) == (GOOD, None)


def test_more_reports_than_a_child_sends_are_its_last_word(pair) -> None:
    child, zygote = pair
    _greet(zygote)
    child.await_ready(time.monotonic())
    for _ in range(10):
        zygote.say(messages.REPORT, {"error": GOOD})
    zygote.say(messages.EXIT, {"code": 0})
    assert isinstance(_next(child), Late)
    zygote.tell(0)
    assert _next(child) == Died(0)


def test_a_report_before_the_zygote_was_lost_is_kept(pair) -> None:
    child, zygote = pair
    _greet(zygote)
    child.await_ready(time.monotonic())
    zygote.say(messages.REPORT, {"error": GOOD})
    zygote.say(messages.EXIT, {"code": 3})
    zygote.status.close()
    assert _next(child) == Ended(3) and child.hearsay.about(ENDED, 3) == (GOOD, None)


def test_one_that_died_while_it_waited_is_not_ready(pair) -> None:
    child, zygote = pair
    _greet(zygote)
    zygote.tell(-9)
    for attempt in (lambda: child.await_ready(time.monotonic()), child.look):
        with pytest.raises(SandboxError):
            attempt()


def test_its_own_word_comes_before_its_death(pair) -> None:
    child, zygote = pair
    zygote.say(messages.EXIT, {"code": 3, "moments": [1.5]})
    zygote.tell(0)
    assert _next(child) == Ended(3, [1.5])


def test_only_an_admins_supervisor_tells_of_processor_time(pair) -> None:
    child, zygote = pair
    zygote.say(messages.EXIT, {"code": -9, "cpu_limit_s": 12})
    assert _next(child) == Ended(-9, None, 12 if child.admin else 0)


def test_forbidden_names_are_cleaned_and_no_admin_has_any(pair) -> None:
    child, zygote = pair
    zygote.say(messages.FORBIDDEN, {"modules": ["os", "x" * 300, "\ud800"]})
    found = _next(child)
    assert found == (Late() if child.admin else Forbidden(("os", "x" * 200, "?")))


@pytest.mark.parametrize(
    "word",
    [b"", b"X", b"X{}", b'X{"code":true}', b'X{"code":256}', b'X{"code":-65}', b'X{"code":1e3}', b"X[]", b"\xff\xff"]
    + [
        b'I{"modules":[]}',
        b'I{"modules":"os"}',
        b'I{"modules":[1]}',
        b"I" + b"[" * 5000,
        b'E{"layer":"x"}',
        b"L",
        b"H",
    ],
)
def test_a_forged_word_counts_for_nothing_and_its_death_still_counts(pair, word) -> None:
    child, zygote = pair
    zygote.channel.send(word)
    assert isinstance(_next(child), Late)
    zygote.tell(7)
    assert _next(child) == Died(7)


def test_descriptors_that_a_run_sends_are_closed(pair) -> None:
    child, zygote = pair
    before = len(os.listdir("/proc/self/fd"))
    zygote.say(messages.EXIT, {"code": 0}, (0, 0, 0))
    assert _next(child) == Ended(0)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_death_is_told_with_the_limit_that_it_met(pair) -> None:
    child, zygote = pair
    zygote.channel.close()
    zygote.tell(-9, 12)
    assert _next(child) == Died(-9, 12)
    assert child.gone() and child.await_gone(0)


def test_a_job_that_nobody_read_makes_another_childs_job(pair) -> None:
    child, zygote = pair
    child.send_job()
    zygote.channel.close()  # with the job unread
    zygote.tell(-9)
    assert _next(child) == Unbegun()


def test_a_zygote_that_ended_leaves_the_last_word_to_the_run(pair) -> None:
    child, zygote = pair
    zygote.say(messages.EXIT, {"code": 1})
    zygote.status.close()
    assert _next(child) == Ended(1)


def test_a_run_is_lost_with_its_zygote_and_gone_when_that_is(pair) -> None:
    child, zygote = pair
    _greet(zygote)
    child.await_ready(time.monotonic())
    zygote.close()
    assert _next(child) == Lost()
    assert not child.await_gone(0) and not child.gone()
    zygote.is_alive = False
    assert not child.gone()
    zygote.is_gone = True
    assert child.gone()


def test_a_child_that_was_never_made_is_gone_while_its_zygote_lives(pair) -> None:
    child, zygote = pair
    assert not child.gone()
    zygote.close()
    assert child.gone()


def test_what_happened_in_time_is_seen_however_late(pair) -> None:
    child, zygote = pair
    zygote.say(messages.EXIT, {"code": 0})
    assert child.next_event(time.monotonic() - 100) == Ended(0)
    assert child.next_event(time.monotonic() - 100) == Late()


def test_an_order_that_was_not_sent_leaves_nothing(pair) -> None:
    class Ended:
        def send_order(self, *_: object) -> None:
            raise BrokenPipeError

    child = ChildHandle(Slot(0, 1), False)
    with pytest.raises(BrokenPipeError):
        child.order_from(Ended())  # type: ignore[arg-type]
    assert child.gone()
    child.close()


def test_a_zygote_that_was_given_up_is_not_alive_and_can_still_be_asked() -> None:
    """What its children left may still be dying: each of them asks for it."""

    class Nursery:
        def send(self, *_: object) -> None:
            return

        def ended(self) -> bool:
            return False

    zygote = ZygoteHandle("plain", Nursery())  # type: ignore[arg-type]
    zygote.close()
    assert not zygote.alive() and not zygote.gone()
    Nursery.ended = lambda self: True  # type: ignore[method-assign]
    assert zygote.gone() and not zygote.alive() and zygote.gone()


# -- whoever asked for the run ----------------------------------------------------------------------------------------


class Caller:
    """A caller that has gone, or only seems to, when the other end of a pipe is closed."""

    events = select.POLLIN

    def __init__(self, stays: bool = False) -> None:
        self.here, self.there = os.pipe()
        self.stays, self.asked = stays, 0

    def fileno(self) -> int:
        return self.here

    def is_gone(self, found: int) -> bool:
        self.asked += 1
        self.events = 0
        return bool(found) and not self.stays

    def leave(self) -> None:
        os.write(self.there, b"x")

    def close(self) -> None:
        os.close(self.here)
        os.close(self.there)


@pytest.mark.parametrize("stays", [False, True])
def test_a_caller_that_has_gone_is_an_event(pair, stays) -> None:
    child, _ = pair
    with contextlib.closing(Caller(stays)) as caller:
        child.watch_caller(caller)
        assert isinstance(_next(child), Late) and caller.asked == 0
        caller.leave()
        assert isinstance(_next(child), Late if stays else Abandoned)
        assert caller.asked == 1
        if stays:  # what is polled is then what the caller still has to say: nothing
            assert isinstance(_next(child), Late) and caller.asked == 1


def test_what_the_run_says_comes_before_its_caller(pair) -> None:
    child, zygote = pair
    with contextlib.closing(Caller()) as caller:
        child.watch_caller(caller)
        caller.leave()
        zygote.say(messages.EXIT, {"code": 3})
        assert _next(child) == Ended(3)
