"""A client that goes away while its script runs: the script is ended, its slot free, and the log says so."""

from __future__ import annotations

import http.client
import json
import select
import socket
import struct
import time
from typing import Any, Callable, Dict, Iterator, List, Tuple

import pytest
import rpc
from processes import await_that, cpu_s, descendants, state
from servers import ADMIN_KEY, RunningServer
from support import connect, execute, log_lines, read_reply, request

from pyexec.http1.departure import Departure

# -- what counts as gone ----------------------------------------------------------------------------------------------


@pytest.fixture(params=["TCP", "Unix"])
def pair(request: pytest.FixtureRequest) -> Iterator[Tuple[socket.socket, socket.socket]]:
    """The server's end of a connection, and the client's."""
    if request.param == "Unix":
        ours, theirs = socket.socketpair()
    else:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            theirs = socket.create_connection(listening.getsockname())
            ours, _ = listening.accept()
    with ours, theirs:
        yield ours, theirs


def _reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def _found(departure: Departure, timeout_s: float = 0.2) -> bool:
    """Poll as a run does; return whether the client is found to have gone."""
    poll = select.poll()
    poll.register(departure.fileno(), departure.events)
    ready = poll.poll(1000 * timeout_s)
    return bool(ready) and departure.is_gone(ready[0][1])


GOING: Dict[str, Callable[[socket.socket], Any]] = {
    "closes": lambda sock: sock.close(),
    "half-closes": lambda sock: sock.shutdown(socket.SHUT_WR),
    "resets": _reset,
}


@pytest.mark.parametrize("how", GOING)
def test_an_end_of_the_stream_counts(pair: Any, how: str) -> None:
    ours, theirs = pair
    departure = Departure(ours, unread=False)
    assert not _found(departure, 0)
    GOING[how](theirs)
    assert _found(departure)


def test_a_client_that_sends_on_is_there(pair: Any) -> None:
    ours, theirs = pair
    departure = Departure(ours, unread=False)
    theirs.sendall(b"GET / HTTP/1.1\r\n")
    assert not _found(departure, 0.05) and ours.recv(3) == b"GET"


@pytest.mark.parametrize("in_the_buffer", [False, True])
def test_an_end_behind_unread_bytes_does_not_count_and_is_polled_for_no_more(pair: Any, in_the_buffer: bool) -> None:
    """It would be found again and again, which would take a whole processor."""
    ours, theirs = pair
    departure = Departure(ours, unread=in_the_buffer)
    if not in_the_buffer:
        theirs.sendall(b"GET / HTTP/1.1\r\n\r\n")
    theirs.shutdown(socket.SHUT_WR)
    assert not _found(departure) and departure.events == 0
    poll = select.poll()
    poll.register(departure.fileno(), departure.events)
    assert poll.poll(50) == []
    if ours.family == socket.AF_INET:
        _reset(theirs)
        assert _found(departure)


# -- end to end -------------------------------------------------------------------------------------------------------

SLOW = {"code": "import time\nprint(1)\ntime.sleep(8)"}


def _active(running: RunningServer) -> int:
    return int(running.client.health()["active_runs"])


def _lines(running: RunningServer) -> Any:
    return [line for line in log_lines(running.log) if line["path"] == "/execute"]


@pytest.mark.parametrize("how", GOING)
@pytest.mark.parametrize("admin", [False, True])
def test_a_run_ends_when_its_caller_has_gone(running: RunningServer, how: str, admin: bool) -> None:
    fields = [("Authorization", "Bearer " + ADMIN_KEY)] if admin else []
    before = len(_lines(running))
    sock = connect(running.port)
    with sock:
        sock.sendall(execute(SLOW, *fields))
        await_that(lambda: _active(running) == 1)
        time.sleep(0.3)
        gone_s = time.monotonic()
        GOING[how](sock)
        await_that(lambda: _active(running) == 0)
        took_s = time.monotonic() - gone_s
    assert took_s < 6  # 0.2 s unless the machine is busy; see tests/prove/test_departures.py
    await_that(lambda: len(_lines(running)) > before)
    (line,) = _lines(running)[before:]
    assert (line["status"], line["type"]) == (499, "CallerGone") and line["ms"] < 7500
    assert running.client.execute("print(2)").stdout == "2\n"


@pytest.mark.parametrize("era", ["modern", "legacy"])
def test_so_does_one_of_an_agent(start_server: Any, era: str) -> None:
    """By both eras of the protocol, and with a body so large that it would cost a run by itself."""
    running = start_server(max_runs=1, rate_per_minute=9, rate_per_day=9, wall_s=60)
    params = rpc.call("import time\ntime.sleep(50)", stdin="x" * 70000)
    message = rpc.modern("tools/call", params) if era == "modern" else rpc.legacy("tools/call", params)
    fields = rpc.header(message) if era == "modern" else [("MCP-Protocol-Version", rpc.LEGACY)]
    with connect(running.port) as sock:
        sock.sendall(rpc.raw(message, fields))
        await_that(lambda: _active(running) == 1)
        time.sleep(0.3)
    await_that(lambda: _active(running) == 0)
    assert running.client.execute("print(2)").document["user_info"]["requests_today"] == 2
    await_that(lambda: [line for line in log_lines(running.log) if line["path"] == "/mcp"])
    (line,) = [line for line in log_lines(running.log) if line["path"] == "/mcp"]
    assert (line["status"], line["type"]) == (499, "CallerGone")


def test_a_batch_ends_when_its_caller_has_gone(start_server: Any) -> None:
    running = start_server(max_runs=1, rate_per_minute=9, rate_per_day=9, wall_s=60)
    calls = [
        rpc.legacy("tools/call", rpc.call(code), id=code) for code in ("print(1)", "import time\ntime.sleep(50)", "2")
    ]
    with connect(running.port) as sock:
        sock.sendall(rpc.raw(calls))
        await_that(lambda: running.get("/metrics")[1].count("pyexec_run_duration_seconds_count 1") == 1)
        await_that(lambda: _active(running) == 1)
        time.sleep(0.3)
    await_that(lambda: _active(running) == 0)
    await_that(lambda: [line["status"] for line in log_lines(running.log) if line["path"] == "/mcp"] == [499])
    assert running.client.execute("print(2)").document["user_info"]["requests_today"] == 3


def test_it_costs_one(start_server: Any) -> None:
    running = start_server(rate_per_day=3, rate_per_minute=3, wall_s=300)
    before_s = max(map(cpu_s, descendants(running.process.pid)))

    def busy() -> List[int]:
        # A child that only warms up is done sooner; a run that has not begun costs nothing.
        return [pid for pid in descendants(running.process.pid) if cpu_s(pid) > before_s + 0.5]

    for _ in range(2):
        with connect(running.port) as sock:
            sock.sendall(execute({"code": "while True: pass"}))
            await_that(busy, 240)  # its processes come last where others want the processor
        await_that(lambda: _active(running) == 0 and not busy())
    answer = running.client.execute("print(1)").document
    assert answer["user_info"]["requests_today"] == 3


def test_every_slot_is_free_again_at_once(start_server: Any) -> None:
    """Callers that give up don't keep others out for the rest of their scripts' time."""
    running = start_server(max_runs=2, rate_per_minute=1000, rate_per_day=1000, wall_s=60)
    for _ in range(3):
        callers = [connect(running.port) for _ in range(2)]
        for sock in callers:
            sock.sendall(execute({"code": "while True: pass"}))
        await_that(lambda: _active(running) == 2)
        for sock in callers:
            sock.close()
        await_that(lambda: _active(running) == 0)
    assert running.client.execute("print(1)").stdout == "1\n"
    await_that(lambda: 'path="/execute",type="CallerGone",status="499"} 6' in running.get("/metrics")[1])


def test_a_client_that_asks_for_more_and_then_half_closes_is_served(running: RunningServer) -> None:
    """Unread bytes precede the end of its stream while the first script runs; it goes with the second."""
    quick = {"code": "import time\ntime.sleep(0.3)\nprint('served')"}
    with connect(running.port) as sock:
        sock.sendall(execute(quick) + request("GET", "/health"))
        sock.shutdown(socket.SHUT_WR)
        data = b""
        while b'"uptime_sec"' not in data:
            part = sock.recv(1 << 16)
            assert part, data
            data += part
    assert data.count(b"HTTP/1.1 200 ") == 2 and b"served" in data


def test_a_client_that_waits_is_served(running: RunningServer) -> None:
    with connect(running.port) as sock:
        for _ in range(2):
            sock.sendall(execute({"code": "import time\ntime.sleep(0.3)\nprint(1)"}))
            assert read_reply(sock).document["execution_details"]["stdout"] == "1\n"


def test_nothing_of_such_a_run_stays(running: RunningServer) -> None:
    """Its processes are killed and its directory is removed, as after any run."""
    for _ in range(5):
        connection = http.client.HTTPConnection("127.0.0.1", running.port)
        body = json.dumps({"code": "open('a', 'w').write('x' * 1000)\nwhile True: pass"})
        connection.request("POST", "/execute", body, {"Content-Type": "application/json"})
        await_that(lambda: _active(running) == 1)
        connection.close()
        await_that(lambda: _active(running) == 0)
    await_that(lambda: _spinning(running.process.pid) == 0)


def _spinning(pid: int) -> int:
    """Return how many processes below one take processor time."""
    time.sleep(0.2)
    counts = [sum(state(each) == "R" for each in descendants(pid)) for _ in range(3) if not time.sleep(0.05)]
    return min(counts)
