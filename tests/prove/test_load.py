"""Load: a thousand connections, clients that dawdle or vanish, ten callers for each slot. No wrong answer, no loss.

As root, since the whole tree of the server's processes is counted before and after.
"""

from __future__ import annotations

import resource
import socket
import struct
import threading
import time
from typing import Any, Callable, Iterator, List, Optional

import pytest
from figures import record
from processes import await_that, settled_tree
from servers import RunningServer
from support import check_reply, execute, holding, in_threads, parse_replies, read_reply, request

from pyexec.client import Client, ServiceError

THOUSAND = 1000
Start = Callable[..., RunningServer]


@pytest.fixture(autouse=True, scope="module")
def many_descriptors() -> Iterator[None]:
    """Both ends of a thousand connections need descriptors; servers inherit the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard == resource.RLIM_INFINITY or hard >= 4 * THOUSAND, "raise the hard limit of open files (ulimit -Hn)"
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4 * THOUSAND), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def started(start_server: Start) -> Iterator[Start]:
    """Start servers that must hold at the end what they held at first."""
    before: List[Any] = []

    def start(**settings: Any) -> RunningServer:
        running = start_server(rate_per_minute=1000000, rate_per_day=1000000, **settings)
        for place in range(20):
            assert running.client.execute("print(%d)" % place).stdout == "%d\n" % place
        before.append((running, settled_tree(running.process.pid)))
        return running

    yield start
    for running, tree in before:
        assert running.client.execute("print('still')").stdout == "still\n"
        await_that(lambda running=running: running.client.health()["active_runs"] == 0)
        await_that(lambda running=running, tree=tree: settled_tree(running.process.pid).within(tree), 60)
        assert running.client.health()["template_restarts"] == 0


def connections(port: int, count: int) -> List[socket.socket]:
    return [socket.create_connection(("127.0.0.1", port), 30) for _ in range(count)]


def ended(sock: socket.socket) -> bool:
    """Return whether the other side has closed, without a byte."""
    sock.setblocking(False)
    try:
        return sock.recv(1) == b""
    except BlockingIOError:
        return False
    finally:
        sock.settimeout(30)


def test_a_thousand_idle_connections_at_the_default_bound(started: Start) -> None:
    running = started()
    idle = connections(running.port, THOUSAND)
    with holding(*idle):
        # Those idle longest have made room; whoever comes is served.
        await_that(lambda: sum(ended(sock) for sock in idle) >= THOUSAND - 256)
        assert running.client.execute("print(1)").stdout == "1\n"
        assert [ended(sock) for sock in idle].index(False) >= THOUSAND - 256
        open_ones = [sock for sock in idle if not ended(sock)]
        assert 200 <= len(open_ones) <= 256
        open_ones[-1].sendall(request("GET", "/health"))
        assert read_reply(open_ones[-1]).status == 200
    record("connections held idle", THOUSAND)


def test_a_thousand_idle_connections_under_a_raised_bound(started: Start) -> None:
    running = started(max_connections=THOUSAND + 100, idle_timeout_s=120)
    idle = connections(running.port, THOUSAND)
    with holding(*idle):
        for _ in range(2):
            for sock in idle:
                sock.sendall(request("GET", "/health"))
            for sock in idle:
                reply = read_reply(sock)
                check_reply(reply)
                assert (reply.status, reply.fields["connection"]) == (200, "keep-alive")
            said = in_threads(5, lambda n: running.client.execute("print(%d)" % n).stdout)
            assert said == ["%d\n" % n for n in range(5)]
        assert not any(ended(sock) for sock in idle)
    record("connections held idle", THOUSAND)


def test_slow_headers_keep_nobody_out(started: Start) -> None:
    running = started(header_timeout_s=2)
    slow = connections(running.port, 400)
    with holding(*slow):
        for piece in (b"POST /exec", b"ute HTTP/1.1\r\n", b"Host: x\r\n"):
            for sock in slow:
                try:
                    sock.sendall(piece)
                except OSError:
                    continue  # made room for another, or was told that its time is up
            assert served(running).stdout == "1\n"
        told = [read_quietly(sock) for sock in slow]
        replies = [parse_replies(data, ["POST"])[0] for data in told if data]
        for reply in replies:
            check_reply(reply)
            assert reply.status == 408
        assert len(replies) >= 100
    record("slow clients", len(slow))


def read_quietly(sock: socket.socket) -> bytes:
    """Return what comes until the end; a reset after it is an end as well."""
    data = b""
    try:
        while True:
            part = sock.recv(1 << 16)
            if not part:
                return data
            data += part
    except ConnectionError:
        return data


def test_slow_bodies_keep_nobody_out(started: Start) -> None:
    running = started(body_timeout_s=5)
    head = b"POST /execute HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n"
    slow = []
    for count in range(1, 401):
        slow += connections(running.port, 1)
        try:
            slow[-1].sendall(head + b'{"code": "')
        except ConnectionError:
            continue  # all the others had just spoken
        if count % 100 == 0:
            result = served(running)
            assert result.stdout == "1\n"
    with holding(*slow):
        told = [read_quietly(sock) for sock in slow]
        replies = [parse_replies(data, ["POST"])[0] for data in told if data]
        for reply in replies:
            check_reply(reply)
        statuses = [reply.status for reply in replies]
    # Some were told that their time is up, some made room for others without a word.
    assert set(statuses) <= {408, 503} and statuses.count(408) >= 200
    assert running.client.execute("print(1)").stdout == "1\n"
    record("slow clients", len(slow))


def served(running: RunningServer) -> Any:
    """Return the result of a script; a newcomer may be told to come again until the server has read what others sent."""
    while True:
        try:
            return running.client.execute("print(1)")
        except ServiceError as error:
            assert (error.status, error.retry_after_s) == (503, 1)


def test_callers_who_vanish_in_the_middle_of_their_runs(started: Start) -> None:
    running = started(max_runs=5)
    script = execute({"code": "import time\nprint('x' * 1000, flush=True)\ntime.sleep(0.3)\nprint('y' * 100000)"})
    for _ in range(40):
        gone = connections(running.port, 5)
        for sock in gone:
            sock.sendall(script)
            # Closing now sends a reset instead of an end.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        time.sleep(0.02)
        for sock in gone:
            sock.close()
    await_that(lambda: running.client.health()["active_runs"] == 0, 60)
    said = in_threads(5, lambda n: running.client.execute("print(%d)" % n).stdout)
    assert said == ["%d\n" % n for n in range(5)]
    record("aborted connections", 200)


def test_fifty_callers_at_five_slots_for_a_minute(started: Start) -> None:
    running = started(max_runs=5)
    until = time.monotonic() + 60
    right, busy, wrong = [0] * 50, [0] * 50, []  # type: ignore[var-annotated]

    def call(place: int) -> None:
        client, turn = Client(running.url, max_wait_s=0), 0
        while time.monotonic() < until:
            turn += 1
            problem: Optional[str] = None
            try:
                data = "%d-%d" % (place, turn)
                result = client.execute(
                    "import sys\nfor line in sys.stdin: print(line.upper() * 2)\nopen('f', 'w').write(open('a').read() * 3)",
                    stdin=data + "é",
                    attachments={"a": data.encode()},
                    return_files=["f"],
                )
                if (result.stdout, result.files) != ((data + "É") * 2 + "\n", {"f": data.encode() * 3}):
                    problem = "%r %r" % (result.stdout, result.files)
                right[place] += 1
            except ServiceError as error:
                if (error.status, error.type) != (503, "ServerBusy") or not error.retry_after_s:
                    problem = repr(error)
                busy[place] += 1
                # Sooner than asked for, or the load would be none.
                time.sleep(0.05)
            if problem is not None:
                wrong.append(problem)

    threads = [threading.Thread(target=call, args=(place,)) for place in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert sum(right) >= 500 and min(right) >= 1 and sum(busy) >= 50
    record("right answers under load", sum(right))
    record("refusals under load, each with Retry-After", sum(busy))
