"""What keeps web pages out: no CORS unless it is set, and no host but ours, however a page gets its name to our address."""

from __future__ import annotations

import ipaddress
import json
import re
from typing import Any, Callable, Dict, Iterator, Optional, Tuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from servers import RunningServer
from support import FUZZ, Reply, ask, check_reply, exchange, execute, parse_replies, request

from pyexec.api.hosts import Hosts, is_loopback
from pyexec.authority import parse_authority
from pyexec.errors import MisdirectedRequest, ValidationError
from pyexec.http1 import message

ORIGIN = "https://a.example"


def with_host(raw: bytes, host: str) -> bytes:
    return raw.replace(b"Host: localhost", b"Host: " + host.encode("ascii"))


# -- CORS -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def open_to_one() -> Iterator[RunningServer]:
    """A server that pages of one origin may use."""
    running = RunningServer({"cors_origin": ORIGIN, "rate_per_minute": 100})
    yield running
    assert running.stop() == 0, running.log


def of_origin(port: int, raw: bytes, origin: Optional[str]) -> Reply:
    (reply,) = parse_replies(exchange(port, raw), [raw.split(b" ")[0].decode()])
    check_reply(reply, origin)
    return reply


REQUESTS = [
    request("GET", "/health", fields=[("Origin", "https://evil.example")]),
    request("GET", "/openapi.json", fields=[("Origin", ORIGIN)]),
    request("GET", "/nothing", fields=[("Origin", ORIGIN)]),
    execute({"code": "print(1)"}, ("Origin", ORIGIN)),
    execute(b"", ("Origin", ORIGIN)),
    b"hello\r\n\r\n",
    with_host(request("GET", "/about", fields=[("Origin", ORIGIN)]), "evil.example"),
]


@pytest.mark.parametrize("raw", REQUESTS)
def test_no_page_may_read_an_answer_unless_its_origin_is_set(
    server: RunningServer, open_to_one: RunningServer, raw: bytes
) -> None:
    of_origin(server.port, raw, None)  # which checks that there is no field of CORS at all
    of_origin(open_to_one.port, raw, ORIGIN)


@pytest.mark.parametrize(
    "path, methods", [("/execute", "POST, OPTIONS"), ("/health", "GET, HEAD, OPTIONS"), ("/", "GET, HEAD, OPTIONS")]
)
def test_preflights_grant_what_is_set(
    server: RunningServer, open_to_one: RunningServer, path: str, methods: str
) -> None:
    fields = [("Origin", ORIGIN), ("Access-Control-Request-Method", "POST")]
    raw = request("OPTIONS", path, fields=fields + [("Access-Control-Request-Headers", "content-type")])
    refused, granted = of_origin(server.port, raw, None), of_origin(open_to_one.port, raw, ORIGIN)
    for reply in (refused, granted):
        assert (reply.status, reply.body, reply.fields["allow"]) == (204, b"", methods)
    assert granted.fields["access-control-allow-methods"] == methods
    allowed = granted.fields["access-control-allow-headers"].lower().split(", ")
    assert {"content-type", "authorization"} <= set(allowed)
    assert int(granted.fields["access-control-max-age"]) > 0
    assert "access-control-allow-credentials" not in granted.fields


def test_what_a_page_sends_without_asking_first_runs_nothing(server: RunningServer) -> None:
    # The types that a form or a fetch without CORS may have; a browser sends these to anybody.
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        raw = request(
            "POST", "/execute", b'{"code": "1"}', [("Content-Type", kind), ("Origin", "https://evil.example")]
        )
        assert ask(server.port, raw).error_type == "UnsupportedMediaType"


def test_the_description_says_what_of_cors_there_is(server: RunningServer, open_to_one: RunningServer) -> None:
    closed = ask(server.port, request("GET", "/openapi.json")).body.decode()
    assert "Access-Control" not in closed
    document = json.loads(of_origin(open_to_one.port, request("GET", "/openapi.json"), ORIGIN).body.decode())
    assert document["components"]["headers"]["Access-Control-Allow-Origin"]["schema"] == {"const": ORIGIN}
    responses = document["paths"]["/execute"]["post"]["responses"]
    assert all("Access-Control-Allow-Origin" in answer["headers"] for answer in responses.values())


# -- Host -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "listen_on, allowed, good, foreign",
    [
        # on the loopback: localhost
        (
            {},
            "none",
            ["localhost", "LOCALHOST.", "localhost:9", "127.0.0.1", "[::1]", "192.0.2.9:80"],
            ["evil.example"],
        ),
        ({}, "a.example", ["localhost", "a.example", "A.example:80", "127.0.0.1"], ["evil.example", "b.a.example"]),
        # elsewhere: any, unless some are named
        ({"host": "0.0.0.0"}, "none", ["localhost", "evil.example", "127.0.0.1"], []),
        ({"host": "0.0.0.0"}, "localhost", ["localhost", "127.0.0.1"], ["evil.example"]),
        ({"host": "0.0.0.0"}, "a.example", ["a.example", "10.1.2.3"], ["evil.example", "localhost"]),
        ({"host": "localhost"}, "none", ["localhost"], ["evil.example"]),
        ({"host": "::"}, "none", ["evil.example"], []),
        ({"host": "::ffff:127.0.0.1"}, "none", ["localhost"], ["evil.example"]),
    ],
)
def test_which_hosts_are_answered(
    start_server: Callable[..., RunningServer], listen_on: Dict[str, Any], allowed: str, good: Any, foreign: Any
) -> None:
    port = start_server(allowed_hosts=allowed, metrics_port=0, **listen_on).port
    for host in good:
        assert ask(port, with_host(request("GET", "/about"), host)).status == 200, host
        assert ask(port, with_host(execute({"code": "("}), host)).status != 421, host
    for host in foreign:
        for raw in (
            request("GET", "/about"),
            request("GET", "/"),
            execute({"code": "1"}),
            request("OPTIONS", "/execute"),
        ):
            reply = ask(port, with_host(raw, host))
            assert (reply.status, reply.error_type) == (421, "MisdirectedRequest"), host
            name = host.partition(":")[0]
            assert ("add --allowed-hosts %s." % name) in reply.document["error_details"]["message"]
        assert ask(port, with_host(request("GET", "/health"), host)).status == 200


def test_the_port_of_the_metrics_is_of_the_loopback_too(start_server: Callable[..., RunningServer]) -> None:
    running = start_server(host="0.0.0.0", allowed_hosts="none", metrics_port=0)
    inside = int(running.log.partition("metrics on http://127.0.0.1:")[2].partition("/")[0])
    assert ask(inside, request("GET", "/metrics")).status == 200
    assert ask(inside, with_host(request("GET", "/metrics"), "evil.example")).status == 421


@pytest.mark.parametrize(
    "listen_on, expected",
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("::ffff:127.0.0.1", True), ("localhost", True)]
    + [("0.0.0.0", False), ("::", False), ("192.0.2.1", False), ("no-such-name.invalid", True), ("a" * 300, True)],
)
def test_what_is_the_loopback(listen_on: str, expected: bool) -> None:
    assert is_loopback(listen_on) is expected


# -- any host at all, against a reference of another make ---------------------------------------------------------------

_CHARACTERS = "aAzZ09.-_:[]@/?# ,%\\\"'<>!$&*+;=~xfF:1\xe9\t"
_hosts = st.one_of(
    st.text(_CHARACTERS, max_size=12),
    st.ip_addresses().map(str),
    st.ip_addresses(v=6).map(lambda address: "[%s]" % address.exploded),
    st.tuples(
        st.sampled_from(["localhost", "evil.example", "127.0.0.1", "[::1]", "a%41", "1.2.3", "1.2.3.256", "[1::2::3]"]),
        st.sampled_from(["", ".", ":", ":80", ":080", ":65535", ":65536", ":x", ":-1", ":1:1", "/", "@b", ",b", " b"]),
    ).map("".join),
)


def reference(text: str) -> Tuple[str, bool]:
    """Return host and whether it is an address, read character by character; raises ValueError."""
    text = text.strip(" \t")
    if text.startswith("["):
        inside, closed, rest = text[1:].partition("]")
        if not closed or set(inside) - set("0123456789abcdefABCDEF:."):
            raise ValueError(text)
        host, is_address = inside.lower(), True
        ipaddress.IPv6Address(inside)
    else:
        host, colon, rest = text.partition(":")
        rest = colon + rest
        if len(host.replace("%", "")) > 255 or not host.rstrip(".") and len(host) < 2:
            raise ValueError(text)
        place = 0
        while place < len(host):
            if host[place] == "%":
                bytes.fromhex(host[place + 1 : place + 3].ljust(2, "x"))
                if " " in host[place + 1 : place + 3]:
                    raise ValueError(text)
                place += 3
            elif host[place].isascii() and (host[place].isalnum() or host[place] in "-._~!$&'()*+;="):
                place += 1
            else:
                raise ValueError(text)
        host = host.lower()[:-1] if host.endswith(".") else host.lower()
        try:
            is_address = bool(ipaddress.IPv4Address(host)) or True
        except ValueError:
            is_address = False
    if rest and (rest[0] != ":" or set(rest[1:]) - set("0123456789") or int(rest[1:] or 0) > 65535):
        raise ValueError(text)
    return host, is_address


@settings(FUZZ, max_examples=3000)
@given(_hosts, st.sampled_from(["field", "target"]))
def test_a_host_is_what_the_reference_reads_or_a_400(text: str, where: str) -> None:
    if re.search(r"[\x00-\x08\x0a-\x1f\x7f]", text) or "%" in text.partition("]")[0] and text.startswith("["):
        return
    if where == "target" and re.search(r"[^\x21-\x7e]|[/?#]", text):
        return
    template = "GET /about HTTP/1.1\r\nHost: %s\r\n\r\n" if where == "field" else "GET http://%s/a HTTP/1.0\r\n\r\n"
    try:
        expected = reference(text)
    except ValueError:
        with pytest.raises(ValidationError):
            message.parse_head((template % text).encode("latin-1"))
        return
    head = message.parse_head((template % text).encode("latin-1"))
    assert head.authority is not None
    assert (head.authority.host, head.authority.is_address) == expected
    # The rule itself: a name passes only if it is listed.
    for hosts, names in ((Hosts("127.0.0.1", ()), {"localhost"}), (Hosts("0.0.0.0", ("b",)), {"b"})):
        passes = expected[1] or expected[0] in names
        if passes:
            hosts.check(head)
        else:
            with pytest.raises(MisdirectedRequest):
                hosts.check(head)


@pytest.mark.parametrize("text", ["[fe80::1%25eth0]", "[fe80::1%eth0]:80"])
def test_a_zone_says_nothing(text: str) -> None:
    assert parse_authority(text)[::2] == ("fe80::1", True)
