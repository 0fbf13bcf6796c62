"""The queue for slots and the end of a server, over HTTP: what a caller gets who comes when all slots are taken."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import urllib.error
import urllib.request
from typing import Any, Callable, Dict, Iterator, List, Tuple

import pytest
from processes import await_that
from servers import RunningServer
from support import (
    connect,
    exchange,
    execute,
    holding,
    in_threads,
    log_lines,
    parse_replies,
    read_reply,
    read_to_end,
    request,
)

Start = Callable[..., RunningServer]
NAP = {"code": "import time\ntime.sleep(0.05)"}
LONG = {"code": "import time\ntime.sleep(60)"}


def from_address(address: str) -> Tuple[str, str]:
    """Return the field by which the loopback, which is a trusted proxy, names its client."""
    return ("X-Forwarded-For", address)


def ask(running: RunningServer, document: Any, address: str) -> Any:
    """Return the answer to one script of the client at an address."""
    with connect(running.port, 90) as sock:
        sock.sendall(execute(document, from_address(address)))
        return read_reply(sock)


def send(running: RunningServer, document: Any, address: str) -> socket.socket:
    """Return a connection on which a script was sent."""
    sock = connect(running.port, 90)
    sock.sendall(execute(document, from_address(address)))
    return sock


@contextlib.contextmanager
def occupied(running: RunningServer) -> Iterator[None]:
    """Have a script take the server's only slot; at the end, end the server without waiting for the script."""
    with holding(send(running, LONG, "192.0.2.1")):
        await_that(lambda: health(running)["active_runs"] == 1)
        yield
        running.process.send_signal(signal.SIGTERM)
        await_that(lambda: "draining" in running.log)
        running.process.send_signal(signal.SIGTERM)
        running.process.wait(60)


def health(running: RunningServer) -> Dict[str, Any]:
    """Return what /health says, whatever its status."""
    try:
        with urllib.request.urlopen(running.url + "/health") as answer:
            return dict(json.load(answer))
    except urllib.error.HTTPError as error:
        with error:
            return dict(json.load(error))


def burst(running: RunningServer, document: Any) -> List[int]:
    """Return the statuses that a hundred callers get who come at once."""
    replies = in_threads(100, lambda n: ask(running, document, "192.0.2.%d" % (n + 1)))
    for reply in replies:
        assert not isinstance(reply, Exception), reply
        if reply.status == 503:
            assert int(reply.fields["retry-after"]) >= 1
    return [reply.status for reply in replies]


def test_a_burst_of_a_hundred_callers_meets_refusals_with_the_defaults(start_server: Start) -> None:
    """Five get a slot, and whoever comes late a second's: the control of the next test."""
    statuses = burst(start_server(), {"code": "import time\ntime.sleep(6)"})
    assert set(statuses) == {200, 503} and 89 <= statuses.count(503) <= 95


def test_a_burst_of_a_hundred_callers_meets_none_with_a_queue_of_a_hundred(start_server: Start) -> None:
    running = start_server(max_runs=5, queue=100, queue_s=60)
    assert burst(running, NAP) == [200] * 100
    assert health(running)["queued_requests"] == 0


def test_who_gets_no_slot_is_not_charged(start_server: Start) -> None:
    running = start_server(max_runs=1, queue=1, queue_s=0.2, wall_s=60)
    with occupied(running):
        reply = ask(running, NAP, "192.0.2.2")  # which waits in vain
        assert (reply.status, reply.error_type) == (503, "ServerBusy")
        assert "No slot became free within 0.2 seconds" in reply.document["error_details"]["message"]
        assert reply.document["user_info"]["requests_today"] == 0


@pytest.mark.parametrize("each", [2, 3])
def test_a_full_queue_and_an_address_with_all_its_places_are_refused_at_once(start_server: Start, each: int) -> None:
    settings = {} if each == 2 else {"queue_per_address": each}
    running = start_server(max_runs=1, queue=each + 1, queue_s=600, wall_s=60, **settings)
    with occupied(running), contextlib.ExitStack() as sockets:
        for count in range(1, each + 1):
            sockets.enter_context(send(running, NAP, "192.0.2.2"))
            await_that(lambda n=count: health(running)["queued_requests"] == n)  # type: ignore[misc]
        reply = ask(running, NAP, "192.0.2.2")
        assert (reply.status, reply.fields["retry-after"]) == (503, "1")
        assert f"{each} requests of yours wait already" in reply.document["error_details"]["message"]
        sockets.enter_context(send(running, NAP, "192.0.2.3"))
        await_that(lambda: health(running)["queued_requests"] == each + 1)
        reply = ask(running, NAP, "192.0.2.4")
        assert (reply.status, reply.fields["retry-after"]) == (503, "1")
        assert f"{each + 1} requests wait" in reply.document["error_details"]["message"]
        assert f"\npyexec_queued_requests {each + 1}\n" in running.get("/metrics")[1]
        await_that(lambda: '{limit="queue"} 2\n' in running.get("/metrics")[1])  # counted behind the answer


def test_a_caller_that_leaves_gives_up_its_place_and_is_not_charged(start_server: Start) -> None:
    running = start_server(max_runs=1, queue=1, queue_s=600, wall_s=60)
    with occupied(running):
        send(running, NAP, "192.0.2.2").close()
        await_that(lambda: [row for row in log_lines(running.log) if row["status"] == 499], what="its end")
        assert health(running)["queued_requests"] == 0
        with holding(send(running, NAP, "192.0.2.3")):
            await_that(lambda: health(running)["queued_requests"] == 1)
            reply = ask(running, NAP, "192.0.2.2")
            assert (reply.status, reply.document["user_info"]["requests_today"]) == (503, 0)
    (row,) = [row for row in log_lines(running.log) if row["status"] == 499]
    assert (row["type"], row["caller"], row["bytes"]) == ("CallerGone", "192.0.2.2", 0)


def test_a_request_sent_ahead_does_not_count_as_having_left(start_server: Start) -> None:
    """What follows on the connection is to be answered, though its client has ended its stream."""
    running = start_server(max_runs=1, queue=1, queue_s=60)
    with holding(send(running, {"code": "import time\ntime.sleep(1)"}, "192.0.2.1")):
        await_that(lambda: health(running)["active_runs"] == 1)
        told = exchange(running.port, execute(NAP, from_address("192.0.2.2")) + request("GET", "/about"))
    assert [reply.status for reply in parse_replies(told, ["POST", "GET"])] == [200, 200]


# -- the end ----------------------------------------------------------------------------------------------------------


def test_a_server_that_drains_says_so_and_goes_on_answering(start_server: Start) -> None:
    running = start_server(drain_s=3000, max_runs=2)
    with connect(running.port) as kept:
        kept.sendall(request("GET", "/health"))
        assert read_reply(kept).fields["connection"] == "keep-alive"
        running.process.send_signal(signal.SIGTERM)
        await_that(lambda: "draining" in running.log)
        kept.sendall(request("GET", "/health"))
        reply = read_reply(kept)
        assert (reply.status, reply.document["status"]) == (404, "draining")
        assert reply.fields["connection"] == "close" and read_to_end(kept) == b""
    reply = ask(running, NAP, "192.0.2.1")  # over a new connection
    assert (reply.status, reply.fields["connection"]) == (200, "close")
    running.process.send_signal(signal.SIGTERM)  # a second one ends it at once
    assert running.process.wait(60) == -signal.SIGTERM


def test_a_drain_has_an_end(start_server: Start) -> None:
    running = start_server(drain_s=0.5)
    assert running.stop() == 0
    with pytest.raises(ConnectionRefusedError):
        connect(running.port)


def test_callers_meet_no_error_while_a_server_drains(start_server: Start) -> None:
    """Four callers who ask /health first, as a balancer does for them."""
    running = start_server(drain_s=3000, max_runs=4, rate_per_minute=100000, rate_per_day=100000)

    def work(place: int) -> int:
        answered = 0
        while health(running)["status"] == "ok":
            assert ask(running, NAP, "192.0.2.%d" % place).status == 200
            answered += 1
            if place == 0 and answered == 3:
                running.process.send_signal(signal.SIGTERM)
        assert health(running)["status"] == "draining"
        return answered

    counts = in_threads(4, work)
    assert all(isinstance(count, int) and count > 0 for count in counts), counts
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(60) == -signal.SIGTERM


def test_requests_in_the_queue_are_answered_before_the_end(start_server: Start) -> None:
    running = start_server(max_runs=1, queue=3, queue_s=60)
    sockets = [send(running, {"code": "import time\ntime.sleep(0.5)\nprint(1)"}, "192.0.2.%d" % n) for n in range(1, 5)]
    with holding(*sockets):
        await_that(lambda: health(running)["queued_requests"] == 3)
        running.process.send_signal(signal.SIGTERM)
        assert [read_reply(sock).document["execution_details"]["stdout"] for sock in sockets] == ["1\n"] * 4
    assert running.process.wait(60) == 0
