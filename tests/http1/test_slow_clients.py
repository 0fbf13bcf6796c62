"""Clients that dawdle, and clients whose lines are slow: who makes room, what is counted, and when it is too late.

First the rules by themselves, then a server with small limits; `prove/test_slow_clients_at_full_size.py` has them at full size.
"""

from __future__ import annotations

import contextlib
import gc
import http.client
import json
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from typing import Any, Callable, Iterator, List, Tuple

import pytest
from processes import await_that
from servers import RunningServer
from support import (
    MIB,
    ROOT,
    check_reply,
    connect,
    holding,
    in_threads,
    parse_replies,
    read_reply,
    read_to_end,
    request,
)

from pyexec.client import Client, ServiceError
from pyexec.config import Config, networks
from pyexec.errors import ServerBusy
from pyexec.http1 import linger, pace
from pyexec.http1.connection import IDLE, LINGERING, READING, RUNNING, WRITING, Connection
from pyexec.http1.memory import FREE_BYTES, AnswerBudget, BodyBudget, Tide
from pyexec.http1.pace import PACE
from pyexec.http1.table import Table
from pyexec.kernel import libc

HEAD = b"POST /execute HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
HEALTH = request("GET", "/health")
Start = Callable[..., RunningServer]


class Clock:
    """A monotonic clock that stands still between steps."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(pace.time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that everything in this process reads."""
    return Clock(monkeypatch)


@pytest.fixture
def pairs() -> Iterator[Callable[[], Tuple[socket.socket, socket.socket]]]:
    """Connected sockets: the server's end, and the client's."""
    with contextlib.ExitStack() as stack:

        def make() -> Tuple[socket.socket, socket.socket]:
            ours, theirs = socket.socketpair()
            stack.enter_context(ours)
            stack.enter_context(theirs)
            return ours, theirs

        yield make


# -- the rules --------------------------------------------------------------------------------------------------------


def test_who_drips_falls_behind_who_keeps_the_pace(clock: Clock, pairs: Any) -> None:
    steady, dripping, burst = (Connection(pairs()[0]) for _ in range(3))
    burst.moved(100 * MIB)
    for _ in range(100):
        clock.now += 0.1
        steady.moved(PACE // 10)
        dripping.moved(1)
    assert dripping.due < clock.now - 9 and burst.due < clock.now - 7
    assert steady.due >= clock.now - 0.2


@pytest.mark.parametrize(
    "goes, stays",
    [
        ((IDLE, 5), (READING, 0)),
        ((LINGERING, 5), (WRITING, 0)),
        ((IDLE, 1), (IDLE, 2)),
        ((LINGERING, 1), (IDLE, 2)),
        ((READING, 1), (WRITING, 2)),
        ((WRITING, 1), (READING, 2)),
        ((WRITING, 9), (RUNNING, 0)),
    ],
)
def test_who_gets_on_least_makes_room(clock: Clock, pairs: Any, goes: Any, stays: Any) -> None:
    for first, second in ((goes, stays), (stays, goes)):
        table = Table(2, 64, ())
        places = {}
        for state, due in (first, second):
            ours, theirs = pairs()
            fill(ours, state)
            place = table.enter(ours, ("127.0.0.1", 1))
            assert place is not None and table.mark(place, state)
            place.due = clock.now + due
            places[state, due] = place
        assert table.enter(pairs()[0], ("127.0.0.1", 1)) is not None
        assert (places[goes].evicted, places[stays].evicted) == (True, False)
        assert not table.mark(places[goes], RUNNING)  # what it asks for meanwhile is not run


def fill(sock: socket.socket, state: str) -> None:
    """Make a connection that is written to one whose client takes nothing."""
    if state == WRITING:
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                sock.send(bytes(1 << 16))


def test_a_new_connection_idles_from_its_accepting(clock: Clock, pairs: Any) -> None:
    """Not from when its thread came to it, which may be in any order."""
    table = Table(2, 64, ())
    places = []
    for _ in range(2):
        places.append(table.enter(pairs()[0], ("127.0.0.1", 1)))
        clock.now += 1
    for place in reversed(places):
        assert place is not None and table.mark(place, IDLE)
        clock.now += 1
    assert table.enter(pairs()[0], ("127.0.0.1", 1)) is not None
    assert [place.evicted for place in places if place] == [True, False]


def test_running_ones_make_no_room(pairs: Any) -> None:
    table = Table(2, 64, ())
    for _ in range(2):
        place = table.enter(pairs()[0], ("127.0.0.1", 1))
        assert place is not None and table.mark(place, RUNNING)
    assert table.enter(pairs()[0], ("127.0.0.1", 1)) is None


def test_unread_requests_keep_no_place_while_answers_are_not_taken(pairs: Any) -> None:
    """They counted as a sign of life, and so did the end of a client's stream, whatever it took of its answers."""
    for half_closed in (False, True):
        table = Table(1, 64, ())
        ours, theirs = pairs()
        theirs.sendall(HEALTH)
        if half_closed:
            theirs.shutdown(socket.SHUT_WR)
        place = table.enter(ours, ("127.0.0.1", 1))
        assert place is not None
        # The control: while it is to be read, what lies there is a sign of life.
        for state in (IDLE, READING):
            place.begin(state)
            assert table.enter(pairs()[0], ("127.0.0.1", 1)) is None
        fill(ours, WRITING)
        place.begin(WRITING)
        assert table.enter(pairs()[0], ("127.0.0.1", 1)) is not None and place.evicted


def test_a_peer_has_a_bounded_number_of_places(pairs: Any) -> None:
    table = Table(100, 3, networks("10.0.0.0/8"))
    for address in ("192.0.2.1", "2001:db8::1", "2001:db8::ffff", "2001:db8:0:1::1", "::ffff:198.51.100.1"):
        mine = [table.enter(pairs()[0], (address, port)) for port in range(5)]
        assert [place.evicted for place in mine if place] == [True, True, False, False, False]
    for address in ("10.0.0.1", "::ffff:10.0.0.1"):  # a proxy's are those of many
        assert not any(place.evicted for place in [table.enter(pairs()[0], (address, 1)) for _ in range(9)] if place)
    assert not any(place.evicted for place in [table.enter(pairs()[0], "") for _ in range(9)] if place)
    busy = [table.enter(pairs()[0], ("192.0.2.2", port)) for port in range(3)]
    for place in busy:
        assert place is not None and table.mark(place, RUNNING)
    assert table.enter(pairs()[0], ("192.0.2.2", 9)) is None
    table.leave(busy[0].sock)  # type: ignore[union-attr]
    assert table.enter(pairs()[0], ("192.0.2.2", 9)) is not None


def test_one_64_of_ipv6_is_one_peer(pairs: Any) -> None:
    table = Table(100, 2, ())
    places = [table.enter(pairs()[0], ("2001:db8::%x" % n, 1)) for n in range(4)]
    assert [place.evicted for place in places if place] == [True, True, False, False]


def _arrive(budget: BodyBudget, place: Connection, size: int) -> Any:
    body = budget.body(place, None)
    more(body, size)
    return body


def more(body: Any, size: int) -> None:
    while size:
        room = body.room(size)
        size -= len(room)
        body.connection.moved(len(room))
        body.filled(len(room))


def test_the_first_64_kib_of_a_body_cost_nothing(pairs: Any) -> None:
    budget = BodyBudget(1)
    bodies = [_arrive(budget, Connection(pairs()[0]), FREE_BYTES) for _ in range(50)]
    with pytest.raises(ServerBusy):
        more(bodies[0], 2)
    assert [len(body.whole()) for body in bodies[1:]] == [FREE_BYTES] * 49


def test_what_is_announced_takes_no_memory(pairs: Any) -> None:
    budget = BodyBudget(48 * MIB)
    bodies = [budget.body(Connection(pairs()[0]), 48 * MIB) for _ in range(100)]
    assert max(len(body.room(48 * MIB)) for body in bodies) <= FREE_BYTES
    more(_arrive(budget, Connection(pairs()[0]), MIB), 40 * MIB)


def test_the_body_that_gets_on_least_makes_room(clock: Clock, pairs: Any) -> None:
    budget = BodyBudget(10 * MIB)
    stalled, younger = _arrive(budget, Connection(pairs()[0]), 4 * MIB), None
    clock.now += 3
    younger = _arrive(budget, Connection(pairs()[0]), 4 * MIB)
    clock.now += 3
    honest = _arrive(budget, Connection(pairs()[0]), 4 * MIB)
    assert (stalled.dropped, younger.dropped, honest.dropped) == (True, False, False)
    with pytest.raises(ServerBusy):
        stalled.complete()
    with pytest.raises(ServerBusy):
        stalled.filled(1)
    younger.complete()
    assert len(younger.whole()) == 4 * MIB
    with pytest.raises(ServerBusy):  # what is complete makes no room, and itself it can't
        more(honest, 4 * MIB)
    for body in (stalled, younger, honest):
        with body:
            pass
    assert len(_arrive(budget, Connection(pairs()[0]), 10 * MIB).whole()) == 10 * MIB


def test_small_chunks_share_memory(pairs: Any) -> None:
    body = BodyBudget(10 * MIB).body(Connection(pairs()[0]), None)
    for place in range(100_000):
        body.room(1)[:] = b"%d" % (place % 10)
        body.filled(1)
    assert len(body._pieces) < 10
    assert body.whole() == b"0123456789" * 10_000


def test_an_answer_that_is_taken_is_waited_for_and_another_makes_room(pairs: Any) -> None:
    budget = AnswerBudget(10 * MIB)
    taken, unread, new = budget.keep(), budget.keep(), budget.keep()
    (ours, _), (ours2, theirs2) = pairs(), pairs()
    for kept, sock in ((taken, ours), (unread, ours2)):
        kept.count(4 * MIB)
        kept.await_client(Connection(sock))
    assert taken.connection is not None and unread.connection is not None
    taken.connection.moved(MIB)
    unread.connection.due -= 5

    def let_go() -> None:
        assert theirs2.recv(1) == b""
        unread.release()

    thread = threading.Thread(target=let_go)
    thread.start()
    new.count(4 * MIB)
    thread.join()
    assert (taken.dropped, unread.dropped) == (False, True)
    # Beside answers that are taken a newcomer waits, and is then told to come again.
    taken.connection.due = time.monotonic() + 60
    with pytest.raises(ServerBusy):
        budget.keep().count(4 * MIB)
    assert not taken.dropped
    taken.release()
    new.release()
    budget.keep().count(50 * MIB)  # alone, any answer has room


def test_memory_is_given_back_once_it_is_quiet(clock: Clock) -> None:
    given: List[float] = []
    tide = Tide()

    def look() -> int:
        tide.ebb(5, 30, lambda: given.append(clock.now))
        return len(given)

    tide.gone(1000)
    clock.now += 100
    assert look() == 0
    tide.gone(MIB)
    assert look() == 0
    clock.now += 6
    assert (look(), look()) == (1, 1)
    for _ in range(40):
        tide.gone(MIB)
        look()
        clock.now += 1
    assert len(given) == 2  # it has gone on for long


def test_many_things_that_are_not_large_are_given_back_as_well(clock: Clock) -> None:
    """500 bodies just below 1 MiB left 200 MiB that nothing returned."""
    given: List[float] = []
    tide = Tide()
    for _ in range(9):
        tide.gone(MIB // 8)
        clock.now += 6
        tide.ebb(5, 30, lambda: given.append(clock.now))
    assert len(given) == 1


def test_bytes_are_free_only_once_what_was_made_of_them_is_gone(pairs: Any) -> None:
    """Whatever is left in a cycle of references must not pile up beside bodies that are counted as free."""

    class Text:
        def __init__(self, budget: BodyBudget) -> None:
            self.itself, self.budget = self, budget

        def __del__(self) -> None:
            left.append(self.budget._left)

    gc.collect()
    gc.disable()
    try:
        left: List[int] = []
        budget = BodyBudget(40 * MIB)
        for _ in range(4):
            with _arrive(budget, Connection(pairs()[0]), 9 * MIB):
                Text(budget)
        gone = list(left)
    finally:
        gc.enable()
    assert len(gone) == 4 and max(gone) < 40 * MIB - 8 * MIB
    assert budget._left == 40 * MIB


def test_freed_memory_can_be_given_back() -> None:
    """In a process of its own: what is free in the middle of the heap goes as well."""
    code = """
import sys
sys.path.insert(0, sys.argv[1])
from pyexec.kernel import libc
def held():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 >> 20
libc.keep_freed_memory()
before = held()
blocks = [bytes([n % 256]) * 100000 for n in range(2000)]
last = bytes(100000)
del blocks
kept = held() - before
libc.give_back_freed_memory()
print(kept, held() - before)
"""
    out = subprocess.run([sys.executable, "-c", code, ROOT], stdout=subprocess.PIPE, check=True).stdout.split()
    if hasattr(libc._libc, "malloc_trim"):
        assert int(out[0]) > 100  # the control; a C library without it keeps little anyway
    assert int(out[1]) < 20


# -- a server ---------------------------------------------------------------------------------------------------------


def post(document: Any) -> bytes:
    body = json.dumps(document).encode()
    return HEAD % len(body) + body


def send_quietly(sock: socket.socket, data: bytes) -> None:
    """Send, whether or not the other side has closed meanwhile."""
    with contextlib.suppress(OSError):
        sock.sendall(data)


def test_bodies_that_stall_keep_nobody_out(start_server: Start) -> None:
    running = start_server(bodies_bytes=MIB, rate_per_minute=1000)
    slow = [connect(running.port) for _ in range(30)]
    with holding(*slow):
        for sock in slow:
            sock.sendall(HEAD % MIB + bytes(120_000))
        for place in range(3):
            assert running.client.execute("print(%d)" % place, stdin="x" * 400_000).stdout == "%d\n" % place
        # Who had to make room is told so, and not by silence.
        await_that(lambda: sum(select_readable(sock, 0.001) for sock in slow) >= 11, what="some told to come again")
        for reply in [read_reply(sock) for sock in slow if select_readable(sock, 0.001)]:
            check_reply(reply)
            assert reply.error_type == "ServerBusy"


def test_a_steady_upload_survives_many_connections(start_server: Start) -> None:
    running = start_server(max_connections=10)
    body = json.dumps({"code": "print(len(input()))", "stdin_data": "x" * MIB}).encode()
    opened: List[socket.socket] = []
    with connect(running.port) as honest:
        honest.sendall(HEAD % len(body))
        for place in range(0, len(body), 1 << 16):
            honest.sendall(body[place : place + (1 << 16)])
            for sent in (b"", b"POST /exec", HEAD % 1000 + b"{"):
                opened.append(connect(running.port))
                send_quietly(opened[-1], sent)
            time.sleep(0.02)
        with holding(*opened):
            assert read_reply(honest).document["execution_details"]["stdout"] == "%d\n" % MIB


def test_a_body_has_as_long_as_a_slow_line_needs(start_server: Start) -> None:
    """At any pace above the slowest; below it, or in silence, the time is up."""
    running = start_server(body_timeout_s=1)
    body = json.dumps({"code": "print(len(input()))", "stdin_data": "x" * 500_000}).encode()
    for chunks in (False, True):
        with connect(running.port) as sock:
            head = HEAD % len(body)
            sock.sendall(
                head.replace(b"Content-Length: %d" % len(body), b"Transfer-Encoding: chunked") if chunks else head
            )
            started = time.monotonic()
            for place in range(0, len(body), 50_000):
                piece = body[place : place + 50_000]
                sock.sendall(b"%x\r\n%s\r\n" % (len(piece), piece) if chunks else piece)
                time.sleep(0.25)
            assert time.monotonic() - started > 2
            if chunks:
                sock.sendall(b"0\r\n\r\n")
            assert read_reply(sock).document["execution_details"]["stdout"] == "500000\n"
    with connect(running.port) as sock:
        sock.sendall(HEAD % len(body) + body[:400_000])  # which would buy six seconds
        assert read_reply(sock).error_type == "RequestTimeout"
    with connect(running.port) as sock:
        sock.sendall(HEAD.replace(b"Content-Length: %d", b"Transfer-Encoding: chunked") + b"1000\r\n")
        started = time.monotonic()
        while not select_readable(sock, 0.05):
            sock.sendall(b" ")
        assert read_reply(sock).error_type == "RequestTimeout"


def select_readable(sock: socket.socket, seconds: float) -> bool:
    """Return whether something can be read, within so many seconds."""
    sock.settimeout(seconds)
    try:
        return bool(sock.recv(1, socket.MSG_PEEK))
    except socket.timeout:
        return False
    finally:
        sock.settimeout(30)


def narrow(port: int, buffered: int = 4096) -> socket.socket:
    """Return a connection that takes little at a time."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffered)
    sock.settimeout(30)
    sock.connect(("127.0.0.1", port))
    return sock


BIG = post({"code": "open('big', 'wb').write(bytes(8 << 20))", "return_files": ["big"]})


def test_an_answer_has_as_long_as_a_slow_line_needs(start_server: Start) -> None:
    running = start_server(write_timeout_s=1, rate_per_minute=100)
    with narrow(running.port) as sock:
        sock.sendall(BIG.replace(b"Host", b"Connection: close\r\nHost"))
        size, started = 0, time.monotonic()
        while True:
            got = len(sock.recv(1 << 16))
            size += got
            if not got:
                break
            time.sleep(got / (4 * MIB))
        assert size > 11_000_000 and time.monotonic() - started > 1.5
    with narrow(running.port) as sock:
        sock.sendall(BIG)
        await_that(lambda: '"status": 499' in running.log, what="the end of who takes nothing")


def test_all_answers_of_a_connection_have_one_deadline(start_server: Start) -> None:
    """A little was taken of each, and each began a minute of its own."""
    running = start_server(write_timeout_s=1)
    with narrow(running.port) as sock:
        threading.Thread(target=send_quietly, args=(sock, request("GET", "/openapi.json") * 20_000)).start()
        started = time.monotonic()
        with contextlib.suppress(OSError):
            while sock.recv(2000):  # some 20 KB a second
                time.sleep(0.1)
                # What the kernel has buffered is read on after the end; the log says when that was.
                if '"status": 499' in running.log:
                    break
        await_that(lambda: '"status": 499' in running.log, what="the end of who takes too long")
        assert time.monotonic() - started < 25


def test_of_two_answers_the_one_that_nobody_reads_makes_room(start_server: Start) -> None:
    """The oldest was dropped, whatever became of it."""
    running = start_server(answers_bytes=20 * MIB, rate_per_minute=100)
    with narrow(running.port) as first, narrow(running.port) as second:
        for sock in (first, second):
            sock.sendall(BIG)
            assert sock.recv(12) == b"HTTP/1.1 200"
        received = []

        def take() -> None:
            while sum(received) < 11_000_000 and (not received or received[-1]):
                received.append(len(first.recv(1 << 16)))
                time.sleep(received[-1] / (3 * MIB))

        thread = threading.Thread(target=take)
        thread.start()
        time.sleep(2)  # until the other has fallen behind
        with connect(running.port) as third:
            third.sendall(BIG)
            assert third.recv(12) == b"HTTP/1.1 200"
            thread.join()
        assert sum(received) >= 11_000_000
        await_that(lambda: running.log.count('"status": 499') >= 1, what="the end of who reads nothing")
        assert len(read_to_end_quietly(second)) < 8_000_000


def read_to_end_quietly(sock: socket.socket) -> bytes:
    data = b""
    with contextlib.suppress(OSError):
        while len(data) < 11_000_000:
            part = sock.recv(1 << 20)
            if not part:
                break
            data += part
    return data


def test_a_newcomer_waits_for_answers_that_are_taken_and_pays_nothing_in_vain(start_server: Start) -> None:
    running = start_server(answers_bytes=10 * MIB, rate_per_day=10)
    with narrow(running.port, 1 << 16) as first:
        first.sendall(BIG)
        assert first.recv(12) == b"HTTP/1.1 200"
        over = threading.Event()

        def take() -> None:
            while not over.is_set() and first.recv(1 << 14):
                time.sleep(0.02)  # 800 KB a second: longer than anybody is made to wait

        thread = threading.Thread(target=take)
        thread.start()
        try:
            with connect(running.port) as second:
                second.sendall(BIG)
                reply = read_reply(second)
        finally:
            over.set()
            thread.join()
        check_reply(reply)
        assert (reply.status, reply.error_type) == (503, "ServerBusy")
        assert reply.document["user_info"]["requests_today"] == 1
    await_that(lambda: 'pyexec_refusals_total{limit="answers"} 1' in running.get("/metrics")[1])


# -- what is refused while it still comes -----------------------------------------------------------------------------


def test_a_refused_upload_gets_its_answer(server: RunningServer) -> None:
    body = bytes(60 * MIB)
    asked = urllib.request.Request(server.url + "/execute", body, {"Content-Type": "application/json"})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(asked, timeout=60)
    with caught.value as answer:
        assert (answer.code, json.load(answer)["error_details"]["type"]) == (413, "PayloadTooLarge")


def test_who_finds_no_place_gets_its_answer_too(start_server: Start) -> None:
    running = start_server(max_connections=2, max_runs=2)
    busy = [connect(running.port) for _ in range(2)]
    with holding(*busy):
        for sock in busy:
            sock.sendall(post({"code": "import time; time.sleep(5)"}))
        time.sleep(1)
        with connect(running.port) as sock:
            sock.sendall(HEAD % (20 * MIB) + bytes(20 * MIB))
            (reply,) = parse_replies(read_to_end(sock))
        check_reply(reply)
        assert (reply.status, reply.error_type) == (503, "ServerBusy")
        assert [read_reply(sock).status for sock in busy] == [200, 200]


@pytest.mark.parametrize("how", ["the client ends", "too much", "too long", "made room"])
def test_who_lingers_is_left_in_the_end(monkeypatch: pytest.MonkeyPatch, pairs: Any, how: str) -> None:
    assert (linger.MOST_BYTES, linger.LONGEST_S) == (64 * MIB, 10)
    monkeypatch.setattr(linger, "MOST_BYTES", MIB)
    monkeypatch.setattr(linger, "LONGEST_S", 0.5 if how == "too long" else 60)
    ours, theirs = pairs()
    closed = threading.Event()

    def close() -> None:
        ours.close()
        closed.set()

    theirs.sendall(b"x" * 1000)
    linger.Lingerer().take(ours, close)
    assert theirs.recv(1) == b""  # our end, behind the answer; theirs may go on
    assert how == "too long" or not closed.wait(0.3)
    if how == "the client ends":
        theirs.shutdown(socket.SHUT_WR)
    elif how == "too much":
        send_quietly(theirs, bytes(4 * MIB))
    elif how == "made room":
        ours.shutdown(socket.SHUT_RDWR)
    assert closed.wait(30)


def test_of_those_without_a_place_only_some_linger(monkeypatch: pytest.MonkeyPatch, pairs: Any) -> None:
    monkeypatch.setattr(linger, "_MOST_SPARE", 2)
    lingerer = linger.Lingerer()
    sockets = [pairs() for _ in range(5)]
    for ours, _ in sockets:
        lingerer.take_spare(ours)
    await_that(lambda: [ours.fileno() < 0 for ours, _ in sockets] == [True] * 3 + [False] * 2, what="the oldest closed")
    for _, theirs in sockets:
        theirs.close()
    await_that(lambda: not lingerer._spare and not lingerer._running, what="nobody left")


def test_lingering_ones_make_room_first(start_server: Start) -> None:
    running = start_server(max_connections=3)
    with connect(running.port) as refused, connect(running.port) as reading, connect(running.port) as idle:
        idle.sendall(HEALTH)
        assert read_reply(idle).status == 200
        refused.sendall(post({"code": "1"}).replace(b"/execute", b"/nowhere"))
        assert read_reply(refused).status == 404
        reading.sendall(HEAD % 22 + b'{"code": ')
        time.sleep(0.3)
        refused.sendall(b"x" * 1000)
        idle.sendall(HEALTH)
        assert read_reply(idle).status == 200
        with connect(running.port) as fourth:
            fourth.sendall(HEALTH)
            assert read_reply(fourth).status == 200
            reading.sendall(b'"print(1)"}'.ljust(13))
            assert read_reply(reading).status == 200
            idle.sendall(HEALTH)
            assert read_reply(idle).status == 200


def test_a_kept_connection_says_how_long(start_server: Start, server: RunningServer) -> None:
    with connect(server.port) as sock:
        sock.sendall(HEALTH)
        assert read_reply(sock).fields["keep-alive"] == "timeout=75"
        sock.sendall(request("GET", "/health", fields=[("Connection", "close")]))
        assert "keep-alive" not in read_reply(sock).fields
    assert Config.of().idle_timeout_s == 75
    with connect(start_server(idle_timeout_s=2).port) as sock:
        sock.sendall(HEALTH)
        assert read_reply(sock).fields["keep-alive"] == "timeout=2"
        assert sock.recv(1) == b""


@pytest.mark.parametrize(
    "sent, words",
    [
        (b"\x16\x03\x01\x02\x00", "This port speaks http://"),
        (b"\x80\x80", "begins with this byte"),
        (b"GET / HTTP/1.1\nHost: x\n", "does not end in CR LF"),
        (b"GET / HTTP/1.1\r\nHost: \x00", "control character"),
    ],
)
def test_what_can_not_become_a_request_is_answered_at_once(start_server: Start, sent: bytes, words: str) -> None:
    running = start_server(header_timeout_s=60)
    for pieces in ([sent], [sent[n : n + 1] for n in range(len(sent))]):
        with connect(running.port) as sock:
            for piece in pieces:
                sock.sendall(piece)
            reply = read_reply(sock)
            check_reply(reply)
            assert (reply.status, reply.fields["connection"]) == (400, "close")
            assert words in reply.document["error_details"]["message"]


# -- clients as they are ----------------------------------------------------------------------------------------------

SCRIPT = {"code": "print(len(input()))", "stdin_data": "x" * 300_000}


def said(document: Any) -> str:
    return str(document["execution_details"]["stdout"])


def test_urllib_with_a_file(server: RunningServer, tmp_path: Any) -> None:
    path = tmp_path / "request.json"
    path.write_text(json.dumps(SCRIPT))
    with open(str(path), "rb") as file:
        asked = urllib.request.Request(server.url + "/execute", file, {"Content-Type": "application/json"})
        with urllib.request.urlopen(asked) as answer:
            assert asked.get_header("Transfer-encoding") == "chunked" and said(json.load(answer)) == "300000\n"


def test_http_client_with_a_generator(server: RunningServer) -> None:
    body = json.dumps(SCRIPT).encode()
    client = http.client.HTTPConnection("127.0.0.1", server.port)
    for step in (7919, 100_000):
        pieces = (body[place : place + step] for place in range(0, len(body), step))
        client.request("POST", "/execute", pieces, {"Content-Type": "application/json"}, encode_chunked=True)
        assert said(json.load(client.getresponse())) == "300000\n"
    client.close()


def test_curl_from_a_pipe(server: RunningServer) -> None:
    for more in ([], ["-H", "Expect: 100-continue"]):
        command = ["curl", "-sS", "-X", "POST", "-H", "Content-Type: application/json", *more]
        done = subprocess.run(
            command + ["-T", "-", server.url + "/execute"], input=json.dumps(SCRIPT).encode(), stdout=subprocess.PIPE
        )
        assert said(json.loads(done.stdout.decode())) == "300000\n"


def test_an_answer_that_nobody_takes_holds_no_child(start_server) -> None:
    running = start_server(rate_per_minute=100, max_runs=2, wall_s=5)
    code = "for name in 'ab': open(name, 'wb').write(bytes(8 << 20))"
    body = json.dumps({"code": code, "return_files": ["a", "b"]}).encode()
    head = b"POST /execute HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(
        body
    )
    silent = []
    for _ in range(4):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", running.port))
        connection.sendall(head + body)
        silent.append(connection)
    for connection in silent:
        assert connection.recv(12, socket.MSG_PEEK) in (b"HTTP/1.1 200", b"HTTP/1.1 503")  # answered, not taken
    started = time.monotonic()
    await_that(lambda: running.client.health()["active_runs"] == 0)
    assert in_threads(2, lambda n: running.client.execute("print(%d)" % n).stdout) == ["0\n", "1\n"]
    assert time.monotonic() - started < 15  # the answers may be taken for a minute
    for connection in silent:
        connection.close()


def _served(running) -> bool:
    try:
        return running.client.execute("print(1)").stdout == "1\n"
    except ServiceError as error:
        assert error.type == "ServerBusy"
        return False


def test_half_a_head_keeps_nobody_out(start_server) -> None:
    running = start_server(max_connections=8)
    dawdling = [socket.create_connection(("127.0.0.1", running.port)) for _ in range(8)]
    for connection in dawdling:
        connection.sendall(b"POST /exec")
    # Whoever comes before the server has looked at them is told to come again, which is an answer as well.
    await_that(lambda: _served(running))
    for connection in dawdling:
        connection.close()


@pytest.mark.parametrize(
    "dawdle",
    [
        b"POST /execute HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{",
        b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 1500,
    ],
    ids=["half a body", "answers not taken"],
)
def test_half_a_body_and_answers_that_are_not_taken_keep_nobody_out(start_server, dawdle) -> None:
    running = start_server(max_connections=8)
    dawdling = []
    for _ in range(8):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        connection.connect(("127.0.0.1", running.port))
        connection.sendall(dawdle)
        dawdling.append(connection)
    time.sleep(1)  # until the server waits for each
    assert Client(running.url, max_wait_s=5).execute("print(1)").stdout == "1\n"  # room may not be made at once
    for connection in dawdling:
        connection.close()


def test_answers_that_nobody_takes_hold_little_memory(start_server) -> None:
    """Above the limit, those that have been left unread for longest make room."""
    running = start_server(rate_per_minute=100, answers_bytes=40 << 20)
    code = "for name in 'abc': open(name, 'wb').write(bytes(8 << 20))"
    body = json.dumps({"code": code, "return_files": ["a", "b", "c"]}).encode()
    head = "POST /execute HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(
        body
    )
    connections = []
    for _ in range(3):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", running.port))
        connection.sendall(head.encode() + body)
        assert connection.recv(12) == b"HTTP/1.1 200"
        connections.append(connection)
    sizes = []
    for connection in reversed(connections):
        connection.settimeout(20)
        size = 0
        while True:
            got = len(connection.recv(1 << 20))
            size += got
            if not got or size > 30 << 20:
                break
        sizes.append(size > 30 << 20)
        connection.close()
    assert sizes == [True, False, False]  # the two that were left unread for longer made room
