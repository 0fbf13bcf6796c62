"""Slots and the queue for them: order, bounds, and that no slot is ever lost; without a server."""

from __future__ import annotations

import contextlib
import random
import select
import socket
import threading
import time
from typing import Callable, List, Optional

import pytest
from processes import await_that
from support import PATIENCE_S, in_threads

from pyexec.errors import ServerBusy
from pyexec.presence import CallerGone
from pyexec.slot_queue import Party, SlotQueue

ANN, BOB = Party("ann", most_waiting=2), Party("bob", most_waiting=2)


class Caller:
    """A `Presence` that is asked whenever anybody looks, since its descriptor is always ready."""

    events = select.POLLOUT

    def __init__(self, gone: Callable[[], bool]) -> None:
        self._gone, self._end = gone, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def fileno(self) -> int:
        return self._end.fileno()

    def is_gone(self, found: int) -> bool:
        return self._gone()

    def close(self) -> None:
        self._end.close()


class Waiting:
    """A request in the queue of its own thread, until it has a slot or is refused."""

    def __init__(
        self,
        queue: SlotQueue,
        party: Party,
        gone: Optional[Callable[[], bool]] = None,
        done: Optional[List[str]] = None,
    ) -> None:
        self.error: Optional[Exception] = None
        self.active = -1
        before, caller = queue.waiting, Caller(gone or (lambda: False))

        def work() -> None:
            try:
                self.active = queue.take(party, caller)
                if done is not None:
                    done.append(party.name)
            except (ServerBusy, CallerGone) as error:
                self.error = error
            finally:
                caller.close()

        self.thread = threading.Thread(target=work, daemon=True)
        self.thread.start()
        await_that(lambda: queue.waiting == before + 1 or not self.thread.is_alive())

    def end(self) -> Waiting:
        self.thread.join(PATIENCE_S)
        assert not self.thread.is_alive()
        return self


def refusal(queue: SlotQueue, party: Party) -> ServerBusy:
    with pytest.raises(ServerBusy) as caught:
        queue.take(party)
    assert caught.value.retry_after_s == 1
    return caught.value


def test_without_a_queue_a_full_server_refuses_at_once() -> None:
    queue = SlotQueue(2, 0, PATIENCE_S)
    assert [queue.take(ANN), queue.take(BOB)] == [0, 1]
    error = refusal(queue, ANN)
    assert (str(error), error.limit_name) == ("All 2 slots are taken; try again in a moment.", "runs")
    assert (queue.active, queue.waiting) == (2, 0)


def test_the_queue_is_first_in_first_out() -> None:
    queue, done = SlotQueue(1, 10, PATIENCE_S), []  # type: ignore[var-annotated]
    queue.take(ANN)
    parties = [Party("p%d" % number) for number in range(5)]
    waiting = [Waiting(queue, party, done=done) for party in parties]
    assert queue.waiting == 5
    for number, party in enumerate([ANN, *parties]):
        assert (queue.active, len(done)) == (1, number)
        queue.release(party)
        await_that(lambda n=number: len(done) == min(5, n + 1))  # type: ignore[misc]
    assert done == [party.name for party in parties]
    assert [each.end().active for each in waiting] == [1] * 5  # as many as when they came
    assert (queue.active, queue.waiting) == (0, 0)


def test_a_newcomer_does_not_overtake_the_queue() -> None:
    queue = SlotQueue(1, 1, PATIENCE_S)
    queue.take(ANN)
    first = Waiting(queue, BOB)
    queue.release(ANN)  # the slot is Bob's before his thread knows
    refusal_or_place = Waiting(queue, ANN)
    assert first.end().error is None and queue.waiting == 1
    queue.release(BOB)
    assert refusal_or_place.end().error is None


def test_a_full_queue_refuses() -> None:
    queue = SlotQueue(1, 1, PATIENCE_S)
    queue.take(ANN)
    waiting = Waiting(queue, ANN)
    error = refusal(queue, BOB)
    assert str(error) == "The only slot is taken, and 1 request waits; try again in a moment."
    assert error.limit_name == "queue"
    queue.release(ANN)
    assert waiting.end().error is None


def test_a_party_has_no_more_places_than_its_own() -> None:
    queue = SlotQueue(1, 10, PATIENCE_S)
    queue.take(ANN)
    waiting = [Waiting(queue, ANN) for _ in range(2)]
    assert str(refusal(queue, ANN)) == "2 requests of yours wait already; try again in a moment."
    other = Waiting(queue, BOB)
    assert queue.waiting == 3
    queue.release(ANN)
    waiting[0].end()
    waiting.append(Waiting(queue, ANN))  # a place that has become free is free
    for party in (ANN, ANN, BOB, ANN):
        queue.release(party)
        time.sleep(0)
    assert [each.end().error for each in [*waiting, other]] == [None] * 4
    assert (queue.active, queue.waiting) == (0, 0)


def test_a_wait_has_an_end() -> None:
    queue = SlotQueue(1, 1, 0.1)
    queue.take(ANN)
    error = Waiting(queue, BOB).end().error
    assert str(error) == "No slot became free within 0.1 seconds; try again in a moment."
    assert (queue.active, queue.waiting) == (1, 0)
    queue.release(ANN)
    assert queue.take(BOB) == 0


def test_a_client_that_leaves_gives_up_its_place() -> None:
    queue, left = SlotQueue(1, 1, PATIENCE_S), threading.Event()
    queue.take(ANN)
    waiting = Waiting(queue, ANN, left.is_set)
    refusal(queue, BOB)
    left.set()
    assert isinstance(waiting.end().error, CallerGone)
    other = Waiting(queue, BOB)
    queue.release(ANN)
    assert other.end().error is None


def test_a_slot_that_comes_just_as_the_client_has_left_goes_on() -> None:
    queue, leaving = SlotQueue(1, 2, PATIENCE_S), threading.Event()
    queue.take(ANN)

    def gone() -> bool:
        leaving.wait(PATIENCE_S)  # it has the slot before it is asked
        return True

    first = Waiting(queue, ANN, gone)
    second = Waiting(queue, BOB)
    queue.release(ANN)
    assert (queue.active, queue.waiting) == (1, 1)
    leaving.set()
    assert isinstance(first.end().error, CallerGone)
    assert second.end().error is None and queue.active == 1


def test_a_party_with_all_of_its_own_slots_is_passed_over() -> None:
    queue, done = SlotQueue(2, 10, PATIENCE_S), []  # type: ignore[var-annotated]
    key = Party("key", most_running=1)
    queue.take(key)
    own = [Waiting(queue, key, done=done) for _ in range(2)]
    assert queue.active == 1  # a slot is free, but not for this key
    assert queue.take(BOB) == 1
    other = Waiting(queue, ANN, done=done)
    queue.release(BOB)
    other.end()
    assert done == ["ann"]
    queue.release(key)
    own[0].end()
    queue.release(key)
    own[1].end()
    assert done == ["ann", "key", "key"]


def test_without_a_queue_a_party_is_refused_beyond_its_own_slots() -> None:
    queue = SlotQueue(5, 0, PATIENCE_S)
    for most, text in ((1, "The only slot of this key is taken"), (2, "All 2 slots of this key are taken")):
        party = Party("key", most_running=most)
        queue.take(party)
        error = refusal(queue, party)
        assert (str(error), error.limit_name) == (text + "; try again in a moment.", "slots")
    assert queue.take(BOB) == 2


def test_no_slot_is_lost_whoever_comes_waits_and_leaves() -> None:
    queue, parties = SlotQueue(3, 8, 0.02), [ANN, BOB, Party("key", 2), Party("admin")]
    lock, running, most = threading.Lock(), [0], [0]

    def work(place: int) -> List[int]:
        chance, counts = random.Random(place), [0, 0, 0]
        for _ in range(300):
            party = chance.choice(parties)
            leaves = chance.random() < 0.2
            try:
                with contextlib.closing(Caller(lambda leaves=leaves: leaves)) as caller:  # type: ignore[misc]
                    queue.take(party, caller)
            except ServerBusy:
                counts[1] += 1
                continue
            except CallerGone:
                counts[2] += 1
                continue
            counts[0] += 1
            with lock:
                running[0] += 1
                most[0] = max(most[0], running[0])
            time.sleep(chance.random() / 500)
            with lock:
                running[0] -= 1
            queue.release(party)
        return counts

    results = in_threads(16, work)
    assert not [result for result in results if isinstance(result, Exception)]
    ran, busy, gone = (sum(counts[kind] for counts in results) for kind in range(3))
    assert ran + busy + gone == 16 * 300 and min(ran, busy, gone) > 0
    assert most[0] == 3
    assert (queue.active, queue.waiting) == (0, 0)
    assert [queue.take(Party("last")) for _ in range(3)] == [0, 1, 2]
