"""Three nodes behind Debian's HAProxy with deploy/haproxy.cfg: what is lost when nodes go, and what slow clients cost.

Debian: haproxy, redis-server. As root. Ratios of throughput are taken from windows that alternate, and the best of a few
counts, as do waits: other work on the machine makes single ones worse, never better. Three minutes on two idle cores.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import signal
import socket
import threading
import time
from typing import Any, Dict, Iterator, List, Tuple

import pytest
from clusters import SLEEP, Answer, Callers, Cluster, ask
from figures import record
from processes import await_that
from redis_servers import RedisServer
from rpc import call, legacy
from support import in_threads

LARGEST = 60_000  # bytes of a request that HAProxy can hold and send again
MOST_WAIT_S = 0.5  # for the store, when it is gone or hangs


@pytest.fixture(scope="module", autouse=True)
def duration() -> Iterator[None]:
    """Record how long all of this takes, which no test may bound: three minutes are the aim."""
    started_s = time.monotonic()
    yield
    record("seconds for the tests of a cluster", round(time.monotonic() - started_s))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    found = Cluster(str(tmp_path_factory.mktemp("cluster")))
    yield found
    found.stop()


def _document(number: int) -> Any:
    """Return a script of 0.1 s; every third request is nearly as large as what can be sent again."""
    document = {"code": SLEEP % 0.1, "stdin_data": ""}
    if number % 3 == 0:
        document["stdin_data"] = "x" * (LARGEST - len(json.dumps(document)) - 10)
        assert LARGEST - 20 < len(json.dumps(document)) < LARGEST
    return document


def _check(answers: List[Answer]) -> None:
    right = '"stdout": "slept\\n"', '"text": "slept"'  # of a request, and of a model's call
    wrong = [answer for answer in answers if answer.status != 200 or not any(text in answer.text for text in right)]
    assert len(answers) > 50 and not wrong, (len(answers), wrong[:3])
    record("requests to a cluster, none lost", len(answers))


def test_a_node_that_is_killed_loses_no_request(cluster: Cluster) -> None:
    callers = Callers(cluster.port, 12, _document)
    try:
        for place in (0, 1):
            time.sleep(1)
            cluster.kill(place)
            time.sleep(1)
            cluster.start(place)
            cluster.await_up(3)
    finally:
        answers = callers.end()
    _check(answers)


def test_a_rolling_restart_loses_no_request(cluster: Cluster) -> None:
    callers = Callers(cluster.port, 12, _document)
    try:
        for place in range(3):
            cluster.restart(place)
    finally:
        answers = callers.end()
    _check(answers)


def test_the_runs_of_a_node_that_hangs_go_elsewhere(cluster: Cluster) -> None:
    callers = Callers(cluster.port, 12, _document)
    node = cluster.nodes[2].process
    try:
        time.sleep(1)
        node.send_signal(signal.SIGSTOP)
        await_that(lambda: len(cluster.up()) == 2)
        time.sleep(2)
        # While it still hangs, nobody waits for it.
        before = time.monotonic()
        assert ask(cluster.port, _document(1)).status == 200 and time.monotonic() - before < 10
        answers = callers.end()  # with those whose run it had, before it goes on
    finally:
        node.send_signal(signal.SIGCONT)
    cluster.await_up(3)
    _check(answers)


def test_three_times_the_load_is_queued_and_not_refused(cluster: Cluster) -> None:
    """Agents' calls as well, whose host has one address."""
    code, slots = SLEEP % 0.4, 3 * cluster.slots
    callers = Callers(cluster.port, slots, lambda number: {"code": code})
    agents = Callers(cluster.port, 2 * slots, lambda number: legacy("tools/call", call(code)), "/mcp", "127.0.2.100")
    time.sleep(10)
    _check(callers.end() + agents.end())
    assert cluster.requests_of("pages") == 0


@pytest.mark.parametrize("balancers, size", [(1, 100_000), (2, 100)])
def test_what_waits_in_the_nodes_is_not_refused_to_one_address(cluster: Cluster, balancers: int, size: int) -> None:
    """Large bodies, which are let through to the nodes, and what two balancers don't know of each other."""
    document = {"code": SLEEP % 0.4, "stdin_data": "x" * size}
    with contextlib.ExitStack() as more:
        ports = [cluster.port, *(more.enter_context(cluster.another_balancer()) for _ in range(balancers - 1))]
        callers = [Callers(port, 36 // balancers, lambda number: document, source="127.0.2.101") for port in ports]
        time.sleep(4)
        answers = [answer for each in callers for answer in each.end()]
    _check(answers)


def test_what_a_node_says_of_itself_alone_is_kept_back(cluster: Cluster) -> None:
    """Its counters, and for how long it keeps a connection, which is longer than the balancer does."""
    for port, behind in ((cluster.ports[0], False), (cluster.port, True)):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        for path in ("/metrics", "/metrics?all", "/about"):
            connection.request("GET", path)
            answer = connection.getresponse()
            text = answer.read().decode()
            hidden = behind and path != "/about"
            assert answer.status == (404 if hidden else 200) and ("pyexec_slots" in text) <= (not behind), (path, text)
            assert not hidden or json.loads(text)["error_details"]["type"] == "NotFound"
            assert (answer.getheader("Keep-Alive") is None) == behind
        connection.close()


def _slow_client(port: int, body: bytes, seconds: float, source: str, over: threading.Event) -> None:
    """Upload a body at an even pace, again and again, and read each answer."""
    while not over.is_set():
        with socket.create_connection(("127.0.0.1", port), 60, source_address=(source, 0)) as sock:
            head = "POST /execute HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            sock.sendall((head % len(body)).encode())
            for place in range(20):
                sock.sendall(body[len(body) * place // 20 : len(body) * (place + 1) // 20])
                if over.wait(seconds / 20):
                    return
            assert sock.recv(1 << 16).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("size, least", [(50_000, 0.8), (300_000, 0.65)])
def test_twelve_slow_uploads_leave_most_of_the_throughput(cluster: Cluster, size: int, least: float) -> None:
    document = {"code": "print(1)", "stdin_data": ""}
    document["stdin_data"] = "x" * (size - len(json.dumps(document)))
    body = json.dumps(document).encode()
    callers = Callers(cluster.port, 16, lambda number: {"code": SLEEP % 0.2})
    ratios: List[float] = []
    try:
        time.sleep(1)
        while len(ratios) < 3 and max(ratios, default=0) < least:
            alone = callers.during(4)
            over = threading.Event()
            slow = [
                threading.Thread(target=_slow_client, args=(cluster.port, body, 6, "127.0.2.%d" % (n + 1), over))
                for n in range(12)
            ]
            for thread in slow:
                thread.start()
            time.sleep(1)
            ratios.append(callers.during(6) / alone)
            over.set()
            for thread in slow:
                thread.join()
    finally:
        answers = callers.end()
    _check(answers)
    record("%% of the throughput left beside 12 slow uploads of %d KB" % (size // 1000), round(100 * max(ratios)))
    assert max(ratios) >= least, ratios


# ---- Quotas of all nodes ----


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tuple[Cluster, RedisServer]]:
    """A cluster whose nodes share quotas of five, and its store."""
    work = str(tmp_path_factory.mktemp("limited"))
    store = RedisServer(work)
    shared = {"PYEXEC_LIMITS_URL": store.url}
    found = Cluster(work, environment=shared, rate_per_minute=5, rate_per_day=1000, charge_once=1)
    yield found, store
    found.stop()
    store.kill()


def _forty(cluster: Cluster, source: str) -> List[int]:
    return sorted(in_threads(40, lambda place: ask(cluster.port, {"code": "print(1)"}, source).status))


def _check_that_five_pass(cluster: Cluster, network: str) -> str:
    """Check that of forty at once five pass; return their address. A node that was too busy to ask makes it void."""
    for number in range(1, 6):
        _await_store(cluster)
        source, before = "%s.%d" % (network, number), _outages(cluster)
        found = _forty(cluster, source)
        if found == [200] * 5 + [429] * 35:
            return source
        _await_outage(cluster, before, found)
    raise AssertionError("the store was out of reach again and again")


def _await_store(cluster: Cluster) -> None:
    """Wait until every node asks the store: one that can't says so once, and counts alone until it is back."""
    gone, back = "this node counts alone meanwhile", "the shared limits are back"
    time.sleep(1.5)  # so long a node that counts alone asks nobody, and says nothing more
    await_that(lambda: all("the shared limits are in use" in node.log or back in node.log for node in cluster.nodes))
    await_that(lambda: all(node.log.count(gone) == node.log.count(back) for node in cluster.nodes))


def _await_outage(cluster: Cluster, before: int, found: List[Any]) -> None:
    """Await the reason why a node counted alone, and its end; the line may come a moment after the answer."""
    await_that(lambda: _outages(cluster) > before, what="a reason for %s" % found)
    _await_store(cluster)


def _outages(cluster: Cluster) -> int:
    return sum(node.log.count("the shared limits can't be reached") for node in cluster.nodes)


@contextlib.contextmanager
def _without_store(limited: Tuple[Cluster, RedisServer], how: str) -> Iterator[None]:
    """Have the store break down for a time; then wait until every node that has noticed has it back."""
    cluster, store = limited
    store.break_down(how)
    yield
    store.come_back(how)
    _await_store(cluster)


def test_forty_at_once_pass_five_whichever_node(limited: Tuple[Cluster, RedisServer]) -> None:
    cluster, _ = limited
    for network in ("127.0.3", "127.0.6"):
        source = _check_that_five_pass(cluster, network)
    cluster.kill(0)  # what it had counted isn't lost with it, nor is anything new when it is back
    cluster.start(0)
    cluster.await_up(3)
    before, found = _outages(cluster), _forty(cluster, source)
    # A token comes every twelve seconds.
    if found.count(200) > 2:
        _await_outage(cluster, before, found)


def _busy(cluster: Cluster) -> List[int]:
    """Return which nodes the balancer has given a run."""
    rows = [line.split(",") for line in cluster.tell("show stat").splitlines() if line.startswith("runs,n")]
    return [place for place, row in enumerate(rows) if int(row[4])]


def _ask_a_node_that_dies(cluster: Cluster, source: str) -> Answer:
    """Send a run, and kill the node that has it."""
    answers: List[Answer] = []
    caller = threading.Thread(target=lambda: answers.append(ask(cluster.port, {"code": SLEEP % 2}, source)))
    caller.start()
    await_that(lambda: _busy(cluster))
    time.sleep(0.5)
    (place,) = _busy(cluster)
    cluster.kill(place)
    caller.join()
    cluster.start(place)
    cluster.await_up(3)
    return answers[0]


def test_a_run_that_is_sent_to_another_node_is_charged_once(limited: Tuple[Cluster, RedisServer]) -> None:
    cluster, store = limited
    for number in range(1, 6):
        _await_store(cluster)
        source, before = "127.0.11.%d" % number, _outages(cluster)
        assert _ask_a_node_that_dies(cluster, source).status == 200
        used = store.client.hget("pyexec:{%s}" % source, "u")
        if used == b"1":
            return
        _await_outage(cluster, before, [used])
    raise AssertionError("the store was out of reach again and again")


@pytest.mark.parametrize("how", ["killed", "hung"])
def test_without_the_store_each_node_counts_for_itself(limited: Tuple[Cluster, RedisServer], how: str) -> None:
    cluster, _ = limited
    with _without_store(limited, how):
        found = _forty(cluster, {"killed": "127.0.4.1", "hung": "127.0.4.2"}[how])
    assert set(found) == {200, 429} and 5 <= found.count(200) <= 15, found
    _check_that_five_pass(cluster, {"killed": "127.0.7", "hung": "127.0.8"}[how])


@pytest.mark.parametrize("how", ["killed", "hung"])
def test_no_request_waits_long_for_a_store_that_is_gone(limited: Tuple[Cluster, RedisServer], how: str) -> None:
    """The first at each node after the store has gone; with its run it takes no longer than the wait alone may."""
    cluster, _ = limited
    waits_s: List[float] = []
    while len(waits_s) < 5 and min(waits_s, default=60.0) > MOST_WAIT_S:
        source = "127.0.%d.%d" % ({"killed": 9, "hung": 10}[how], len(waits_s) + 1)
        with _without_store(limited, how):
            answers = [ask(port, {"code": "print(1)"}, source) for port in cluster.ports]
        assert [answer.status for answer in answers] == [200] * 3
        waits_s.append(max(answer.seconds for answer in answers))
    assert min(waits_s) <= MOST_WAIT_S, waits_s


# ---- Throughput ----


def test_nodes_add_up(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Bound by slots, since the nodes share two processors here: runs of 0.3 s, two slots a node, three callers a slot.

    So many, whether they wait in the balancer or, of a node without one (0 here), in the node's own queue. The best
    window of each is compared: a window has some twenty answers of one node, and other work takes from it.
    """
    cluster = Cluster(str(tmp_path_factory.mktemp("throughput")), slots=2)
    least = {1: 1.0, 2: 1.9, 3: 2.8}
    best = dict.fromkeys([0, *least], 0.0)
    ratios: Dict[int, float] = {}

    def measure(count: int) -> None:
        port = cluster.port if count else cluster.ports[0]
        callers = Callers(port, 3 * 2 * max(1, count), lambda number: {"code": SLEEP % 0.3})
        time.sleep(1)
        best[count] = max(best[count], callers.during(3))
        assert all(answer.status == 200 for answer in callers.end())

    try:
        for _ in range(6):
            measure(0)  # slowstart is over by then: a node that comes up has one request at first
            for count in (3, 2, 1):
                cluster.await_up(count)
                measure(count)
                cluster.tell("set server runs/n%d state maint" % count)
            for place in (1, 2, 3):
                cluster.tell("set server runs/n%d state ready" % place)
            cluster.await_up(3)
            ratios = {count: round(best[count] / best[0], 2) for count in least}
            if all(ratios[count] >= least[count] for count in least):
                break
    finally:
        cluster.stop()
    for count, ratio in ratios.items():
        record("%% of one node's throughput, %d behind a balancer" % count, round(100 * ratio))
    assert all(ratios[count] >= least[count] for count in least), ratios
