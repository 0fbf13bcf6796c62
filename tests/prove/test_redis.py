"""Quotas in Redis, asked of Debian's redis-server: what every store promises, and what happens when it is gone or hangs."""

from __future__ import annotations

import dataclasses
import os
import socket
import subprocess
import time
from typing import Any, Iterator, List

import pytest
import redis
from processes import await_that
from quota_suite import ANN, BOB, FIVE, QuotaSuite, Store
from redis_servers import PASSWORD, RedisServer, free_port
from support import in_threads

from pyexec import log
from pyexec.accounts import Allowance, Now
from pyexec.client import Client, ServiceError
from pyexec.errors import RateLimitExceeded
from pyexec.quota_store import Charge, connections
from pyexec.quota_store.redis import Shared

PLENTY = Allowance(1_000_000, 1_000_000)
IN_USE = "the shared limits are in use"
MOST_WAIT_S = 0.5  # by a request that finds the store gone
OUTAGES = 8  # of which the best counts: other work on the machine makes a wait longer, never shorter


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    found = RedisServer(str(tmp_path_factory.mktemp("redis")))
    yield found
    found.kill()


@pytest.fixture
def breakable(tmp_path) -> Iterator[RedisServer]:
    found = RedisServer(str(tmp_path))
    yield found
    found.kill()


class InRedis(Store):
    """Quotas in Redis, whose accounts are made older, since its clock can't be set."""

    def __init__(self, server: RedisServer) -> None:
        server.client.flushall()
        super().__init__(Shared(server.url, 1000))
        self._client = server.client
        await_that(
            lambda: self.store.charge("warm", PLENTY, Now.read()).shared or server.client.delete("pyexec:{warm}")
        )
        server.client.flushall()

    def pass_time(self, seconds: float) -> None:
        """Make what is there older."""
        for key in self._client.keys("pyexec:*"):
            if self._client.type(key) == b"hash":
                self._client.hincrby(key, "f", -int(seconds * 1e6))
                self._client.hincrby(key, "d", -int(seconds // 86400))
            elif self._client.ttl(key) > seconds:
                self._client.expire(key, int(self._client.ttl(key) - seconds) or 1)
            else:
                self._client.delete(key)

    def a_day_older(self, charge: Charge) -> Charge:
        """Return a charge of the day before."""
        return dataclasses.replace(charge, day=charge.day - 1)


def be_patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it matters what is counted, not how fast: a busy machine must not make a node count alone."""
    monkeypatch.setattr(connections, "_WAIT_S", 20.0)
    monkeypatch.setattr(connections, "_TIMEOUT_S", 20.0)
    monkeypatch.setattr(connections, "_ALL_S", 60.0)


class TestRedis(QuotaSuite):
    @pytest.fixture
    def quotas(self, running: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Store:
        be_patient(monkeypatch)
        return InRedis(running)


@pytest.fixture
def said(monkeypatch) -> List[str]:
    found: List[str] = []
    monkeypatch.setattr(log, "say", lambda text, level=log.INFO: text == IN_USE or found.append(text))
    return found


def test_nothing_stays_longer_than_it_says_something(running: RedisServer, monkeypatch) -> None:
    be_patient(monkeypatch)
    quotas = InRedis(running)
    quotas.charge(once="an id")
    ttls = {key: running.client.ttl(key) for key in running.client.keys()}
    assert sorted(ttls) == [b"pyexec:{192.0.2.1}", b"pyexec:{192.0.2.1}:an id"]
    assert 60 < ttls[b"pyexec:{192.0.2.1}"] <= 86460 and 110 < ttls[b"pyexec:{192.0.2.1}:an id"] <= 120


def test_looking_writes_nothing(running: RedisServer) -> None:
    InRedis(running).look()
    assert running.client.keys() == []


def test_two_nodes_count_together(running: RedisServer, monkeypatch) -> None:
    be_patient(monkeypatch)
    first = InRedis(running)
    second = Shared(running.url, 1000)
    await_that(lambda: second.look(BOB, FIVE, Now.read()) and second.charge(BOB, PLENTY, Now.read()).shared)
    for _ in range(5):
        first.charge(ANN)
    with pytest.raises(RateLimitExceeded):
        second.charge(ANN, FIVE, Now.read())


def test_what_a_node_counts_in_is_said_once(running: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    found: List[str] = []
    monkeypatch.setattr(log, "say", lambda text, level=log.INFO: found.append(text))
    be_patient(monkeypatch)
    quotas = InRedis(running)
    await_that(lambda: found)
    in_threads(8, lambda place: quotas.charge(str(place)))  # which opens more connections
    assert found == [IN_USE]


def test_no_connection_takes_announcements(running: RedisServer) -> None:
    """Such as RESP3's of maintenance, after which redis-py would wait 10 s for each answer."""
    InRedis(running).charge()
    ours = [each for each in running.client.client_list() if each["cmd"] in ("eval", "evalsha", "ping")]
    assert ours and {each["resp"] for each in ours} == {"2"}


def test_a_script_that_the_store_forgot_is_sent_again(running: RedisServer, monkeypatch) -> None:
    be_patient(monkeypatch)
    quotas = InRedis(running)
    assert quotas.charge().quota.used_today == 1
    running.client.script_flush()
    assert quotas.charge().quota.used_today == 2


def test_what_the_store_evicts_is_a_quota_forgotten(tmp_path, said: List[str], monkeypatch) -> None:
    """As docs/deployment.md says: with volatile-lru, which never refuses to write."""
    be_patient(monkeypatch)
    server = RedisServer(str(tmp_path), "--maxmemory", "3mb", "--maxmemory-policy", "volatile-lru")
    try:
        quotas = InRedis(server)
        callers = [f"2001:db8:{number:x}::/64" for number in range(20000)]
        for caller in callers:
            quotas.charge(caller)
        assert server.client.info()["evicted_keys"] > 0
        # Not the first caller: Redis drops the oldest of a few that it draws, so that any single one may stay.
        forgotten = [caller for caller in callers[:1000] if not server.client.exists(f"pyexec:{{{caller}}}")]
        kept = [caller for caller in callers[-1000:] if server.client.exists(f"pyexec:{{{caller}}}")]
        assert forgotten and kept
        assert (quotas.used(forgotten[0]), quotas.used(kept[-1])) == (0, 1)
    finally:
        server.kill()


@pytest.mark.parametrize("how", ["killed", "hung"])
def test_a_node_counts_alone_while_the_store_is_gone(breakable: RedisServer, said: List[str], how: str) -> None:
    quotas = InRedis(breakable)
    shared = [quotas.charge() for _ in range(3)]
    breakable.break_down(how)
    alone = [quotas.charge() for _ in range(5)]
    assert [charge.quota.used_today for charge in alone] == [1, 2, 3, 4, 5] and not any(c.shared for c in alone)
    quotas.refused()
    assert quotas.store.give_back(shared[0]) is None  # which only the store could
    back = quotas.store.give_back(alone[0])
    assert back is not None and back.used_today == 4
    await_that(lambda: said)  # by the thread that opens connections, perhaps, which is not the one that asked
    assert len(said) == 1 and said[0].startswith("the shared limits can't be reached (")
    assert not any(word in said[0] for word in (PASSWORD, "127.0.0.1", str(breakable.port)))
    breakable.come_back(how)
    await_that(lambda: quotas.store.charge(BOB, PLENTY, Now.read()).shared)
    await_that(lambda: said[1:] == ["the shared limits are back"])  # said behind the connection that is back
    # A store that hung carries out what it had been sent, although nobody waits for it any more.
    assert quotas.used() in ((0,) if how == "killed" else (3, 4))


def _longest_wait_s(store: Shared, callers: int) -> float:
    """Return how long the slowest of several requests at once waits, and of some that come after it."""

    def wait_s(place: int) -> float:
        started_s = time.monotonic()
        assert not store.charge(str(place), PLENTY, Now.read()).shared
        return time.monotonic() - started_s

    return max(in_threads(callers, wait_s) + [wait_s(place) for place in range(5)])


@pytest.mark.parametrize("callers", [1, 16])  # fewer and more than there are connections
@pytest.mark.parametrize("how", ["killed", "hung"])
def test_nobody_waits_long_for_a_store_that_is_gone(breakable: RedisServer, how: str, callers: int) -> None:
    store, waits_s = Shared(breakable.url, 1000), []
    while len(waits_s) < OUTAGES and min(waits_s, default=60.0) > MOST_WAIT_S:
        await_that(lambda: store.charge(BOB, PLENTY, Now.read()).shared)
        breakable.break_down(how)
        waits_s.append(_longest_wait_s(store, callers))
        breakable.come_back(how)
    assert min(waits_s) <= MOST_WAIT_S, waits_s


def test_a_name_that_takes_its_time_keeps_nobody_waiting(said: List[str], monkeypatch) -> None:
    """A resolver without an answer takes seconds, which no timeout of a socket bounds."""
    looked_up = socket.getaddrinfo

    def hang(*arguments: Any, **more: Any) -> Any:
        time.sleep(10)
        return looked_up(*arguments, **more)

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    waits_s: List[float] = []
    while len(waits_s) < OUTAGES and min(waits_s, default=60.0) > MOST_WAIT_S:
        waits_s.append(_longest_wait_s(Shared("redis://store.example:6379/0", 1000), 16))
    assert min(waits_s) <= MOST_WAIT_S, waits_s
    assert set(said) == {"the shared limits can't be reached (TimeoutError); this node counts alone meanwhile"}


def test_a_restart_of_the_store_costs_no_more_than_a_moment(breakable: RedisServer) -> None:
    quotas = InRedis(breakable)
    assert all(isinstance(charge, bool) for charge in in_threads(8, lambda place: quotas.charge(str(place)).shared))
    breakable.client.client_kill_filter(_type="normal", skipme=True)
    await_that(lambda: quotas.charge(BOB, PLENTY).shared)


def test_a_store_that_was_away_for_hundreds_of_tries_is_used_again(breakable: RedisServer, monkeypatch) -> None:
    """redis-py's pool counts the connections that it makes, and refuses the hundred and first."""
    tries: List[int] = []
    connect = redis.connection.AbstractConnection.connect

    def counted(connection: Any) -> Any:
        tries.append(1)
        return connect(connection)

    breakable.break_down("killed")
    monkeypatch.setattr(connections, "_LEFT_ALONE_S", 0.0)
    monkeypatch.setattr(redis.connection.AbstractConnection, "connect", counted)
    store = Shared(breakable.url, 1000)
    await_that(lambda: len(tries) > 250)
    breakable.come_back("killed")
    await_that(lambda: store.charge(BOB, PLENTY, Now.read()).shared)


def test_closed_connections_are_noticed_before_they_are_used(breakable: RedisServer, monkeypatch) -> None:
    """One is open and nobody opens another, so what the store closes is what is used next."""
    be_patient(monkeypatch)
    quotas = InRedis(breakable)
    for _ in range(3):
        breakable.client.client_kill_filter(_type="normal", skipme=True)
        assert quotas.charge(BOB, PLENTY).shared


def test_a_wrong_password_is_a_store_out_of_reach(running: RedisServer, said: List[str], monkeypatch) -> None:
    be_patient(monkeypatch)
    store = Shared(running.url.replace(PASSWORD, "wrong-secret"), 1000)
    assert not store.charge(ANN, FIVE, Now.read()).shared
    await_that(lambda: said)
    assert "wrong-secret" not in said[0] and "AuthenticationError" in said[0]


def test_tls(tmp_path) -> None:
    key, certificate = str(tmp_path / "key"), str(tmp_path / "certificate")
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout %s -out %s" % (
        key,
        certificate,
    )
    command += " -addext subjectAltName=IP:127.0.0.1"
    subprocess.run(command.split(), check=True, stderr=subprocess.DEVNULL)
    tls = free_port()
    options = [
        "--tls-port",
        str(tls),
        "--tls-cert-file",
        certificate,
        "--tls-key-file",
        key,
        "--tls-auth-clients",
        "no",
    ]
    server = RedisServer(str(tmp_path), *options)
    try:
        url = f"rediss://:{PASSWORD}@127.0.0.1:{tls}/0"
        trusting = Shared(f"{url}?ssl_ca_certs={certificate}", 1000)
        await_that(lambda: trusting.charge(ANN, PLENTY, Now.read()).shared)
        assert not Shared(url, 1000).charge(BOB, FIVE, Now.read()).shared  # nobody vouches for this certificate
    finally:
        server.kill()


# ---- Nodes ----


def _nodes(start_server: Any, url: str, count: int) -> List[Any]:
    return [start_server(environment={"PYEXEC_LIMITS_URL": url}, max_runs=5) for _ in range(count)]


def _passed(clients: List[Client], requests: int) -> List[int]:
    def work(place: int) -> int:
        client = clients[place % len(clients)]
        while True:
            try:
                client.execute("print(1)")
                return 200
            except ServiceError as error:
                if error.status != 503:  # all slots taken: charged nothing
                    return error.status
                time.sleep(0.02)

    return in_threads(requests, work)


def _outages(nodes: List[Any]) -> int:
    return sum(node.log.count("can't be reached") for node in nodes)


def _is_back(log: str) -> bool:
    return log.count("this node counts alone meanwhile") == log.count("the shared limits are back")


def test_forty_requests_to_three_nodes_pass_five(start_server, breakable: RedisServer) -> None:
    nodes = _nodes(start_server, breakable.url, 3)
    clients = [node.client for node in nodes]
    for _ in range(5):
        before = _outages(nodes)
        results = sorted(_passed(clients, 40))
        if results == [200] * 5 + [429] * 35:
            break
        # A machine so busy that a node didn't ask in time makes a try void. The node's line may come after its answer.
        await_that(lambda seen=before: _outages(nodes) > seen, what="a reason for %s" % results)  # type: ignore[misc]
        time.sleep(1.5)  # while a node does without the store, it says nothing more
        await_that(lambda: all(_is_back(node.log) for node in nodes))
        breakable.client.flushall()
    assert results == [200] * 5 + [429] * 35
    breakable.kill()
    assert clients[0].execute("print(2)").stdout == "2\n"  # by its own memory
    await_that(lambda: "the shared limits can't be reached" in nodes[0].log)
    for node in nodes:
        assert PASSWORD not in node.log and str(breakable.port) not in node.log
    assert os.environ.get("PYEXEC_LIMITS_URL") is None


def test_a_script_does_not_find_the_stores_address(start_server, breakable: RedisServer) -> None:
    (node,) = _nodes(start_server, breakable.url, 1)
    found = node.admin.execute("import os\nprint(dict(os.environ), open('/proc/self/environ').read())")
    assert PASSWORD not in found.stdout + found.stderr
