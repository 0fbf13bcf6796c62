"""What the log says about proxies in front, what they may say about a request, and requests that they repeat."""

from __future__ import annotations

from typing import Any, List, Tuple

import pytest
from processes import await_that
from support import ask, execute

from pyexec import log
from pyexec.api.forwarding import Watch
from pyexec.callers import Proxies
from pyexec.config import Config
from pyexec.http1.message import Head

PROXY, STRANGER, CLIENT = "10.0.0.1", "198.51.100.9", "203.0.113.7"


@pytest.fixture
def said(monkeypatch) -> List[str]:
    found: List[str] = []
    monkeypatch.setattr(log, "say", lambda text, level: found.append(text))
    return found


def _look(watch: Watch, proxies: Proxies, peer: str, **fields: str) -> None:
    named = {name.replace("_", "-"): value for name, value in fields.items()}
    watch.look(Head("POST", "/execute", "HTTP/1.1", named), peer, proxies.caller(peer, named))


def _watch(**settings: Any) -> Tuple[Watch, Proxies]:
    proxies = Proxies.of(Config.of(**settings))
    return Watch(proxies), proxies


def test_a_proxy_that_does_not_write_the_field_is_named_once(said: List[str]) -> None:
    watch, proxies = _watch()
    for _ in range(3):
        _look(watch, proxies, PROXY)
        _look(watch, proxies, PROXY, x_real_ip=CLIENT)
    assert len(said) == 1
    assert "10.0.0.1 has no X-Forwarded-For, so everyone behind 10.0.0.1 counts as one caller" in said[0]
    _look(watch, proxies, "10.0.0.2")
    assert len(said) == 2


def test_a_field_that_clients_can_choose_is_named_once(said: List[str]) -> None:
    watch, proxies = _watch()
    for forged in ("8.8.8.8", "9.9.9.9"):
        _look(watch, proxies, PROXY, x_forwarded_for=forged, x_real_ip=CLIENT)
    assert len(said) == 1 and "clients choose who they are" in said[0]
    assert "has X-Real-IP 203.0.113.7, but by X-Forwarded-For it comes from 8.8.8.8" in said[0]


@pytest.mark.parametrize(
    "settings, peer, fields",
    [
        ({}, PROXY, {"x_forwarded_for": CLIENT}),
        ({}, PROXY, {"x_forwarded_for": f"8.8.8.8, {CLIENT}", "x_real_ip": CLIENT}),
        ({}, PROXY, {"x_forwarded_for": CLIENT, "x_real_ip": "garbage"}),
        ({}, STRANGER, {}),
        ({}, STRANGER, {"x_real_ip": CLIENT}),
        ({"trusted_proxies": ""}, "127.0.0.1", {}),
        ({"client_header": "X-Real-IP"}, PROXY, {"x_real_ip": CLIENT}),
        ({"client_header": "CF-Connecting-IP"}, PROXY, {"cf_connecting_ip": CLIENT}),
        # Cloudflare, then nginx as the documentation has it
        ({"client_header": "CF-Connecting-IP"}, PROXY, {"cf_connecting_ip": CLIENT, "x_real_ip": "173.245.48.9"}),
        ({"proxy_hops": 2}, PROXY, {"x_forwarded_for": f"{CLIENT}, 173.245.48.9", "x_real_ip": "173.245.48.9"}),
    ],
)
def test_nothing_is_said_where_nothing_is_wrong(said: List[str], settings: Any, peer: str, fields: Any) -> None:
    watch, proxies = _watch(**settings)
    _look(watch, proxies, peer, **fields)
    assert said == []


def test_the_log_stays_bounded_however_many_peers_are_trusted(said: List[str]) -> None:
    watch, proxies = _watch()
    for number in range(5000):
        _look(watch, proxies, f"10.0.{number // 250}.{number % 250}")
    assert len(said) == 100


def test_a_server_says_whose_field_is_believed_and_what_is_missing(start_server) -> None:
    running = start_server(trusted_proxies="127.0.0.1")
    assert "callers are told apart by X-Forwarded-For from 127.0.0.1/32" in running.log
    ask(running.port, b"GET /about HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert "counts as one caller" not in running.log
    for _ in range(2):
        assert ask(running.port, execute({"code": "print(1)"})).status == 200
    assert running.log.count("everyone behind 127.0.0.1 counts as one caller") == 1


def test_an_id_from_a_proxy_is_logged_and_echoed_whatever_the_answer(server) -> None:
    before = server.log
    for document, status in (({"code": "print(1)"}, 200), ({"code": ""}, 400)):
        reply = ask(server.port, execute(document, ("X-Request-ID", f"id-{status}")))
        assert (reply.status, reply.fields["x-request-id"]) == (status, f"id-{status}")
        # Its line is written behind the answer.
        await_that(lambda wanted=f'"request_id": "id-{status}"': wanted in server.log[len(before) :])
    for refused in ("a" * 65, "caf\u00e9"):
        assert "x-request-id" not in ask(server.port, execute({"code": "print(1)"}, ("X-Request-ID", refused))).fields


def test_an_id_from_anybody_else_is_not(start_server) -> None:
    running = start_server(trusted_proxies="")
    reply = ask(running.port, execute({"code": "print(1)"}, ("X-Request-ID", "mine")))
    assert "x-request-id" not in reply.fields and "mine" not in running.log


def _used(running: Any, code: str, request_id: str, address: str = CLIENT) -> int:
    told = [("X-Forwarded-For", address), ("X-Request-ID", request_id)]
    reply = ask(running.port, execute({"code": code}, *told))
    assert reply.status == 200
    return int(reply.document["user_info"]["requests_today"])


def test_a_request_that_a_proxy_repeats_is_charged_once_if_that_is_set(start_server) -> None:
    running = start_server(charge_once=1, rate_per_minute=1000)
    assert [_used(running, "print(1)", "a") for _ in range(7)] == [1, 1, 1, 2, 2, 2, 3]  # at most three uses
    assert _used(running, "print(2)", "a") == 4  # another script under the same id
    assert _used(running, "print(2)", "b") == 5
    assert _used(running, "print(2)", "b", "198.51.100.4") == 1  # another caller
    assert _used(running, "print(2)", "x" * 65) == 6  # no id at all


def test_by_default_every_request_is_charged(start_server) -> None:
    running = start_server()
    assert [_used(running, "print(1)", "a") for _ in range(3)] == [1, 2, 3]
