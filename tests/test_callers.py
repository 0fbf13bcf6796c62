"""Whose request it is: addresses, proxies, networks."""

from __future__ import annotations

import time
from typing import Any

import pytest
from counters import at, limits_of, refused

from pyexec import callers
from pyexec.callers import UNIX, Proxies, identify
from pyexec.config import DEFAULT_PROXIES, Config, networks

TRUSTED = networks(DEFAULT_PROXIES)


PROXY, STRANGER = "10.0.0.1", "203.0.113.7"


@pytest.mark.parametrize(
    "peer, header, address",
    [
        # no proxy in front
        (STRANGER, "", STRANGER),
        (PROXY, "", PROXY),
        ("127.0.0.1", "", "127.0.0.1"),
        # the peer is a proxy: the right-most address that is none
        (PROXY, "198.51.100.1", "198.51.100.1"),
        ("127.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("::1", "198.51.100.1", "198.51.100.1"),
        ("fd00::1", "198.51.100.1", "198.51.100.1"),
        ("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),
        (PROXY, "1.1.1.1, 2.2.2.2, 198.51.100.1", "198.51.100.1"),
        (PROXY, "1.1.1.1, 198.51.100.1, 192.168.0.9, 172.16.3.4", "198.51.100.1"),
        (PROXY, "198.51.100.1,127.0.0.1,::1,fd00::2", "198.51.100.1"),
        # all of them proxies: the left-most
        (PROXY, "192.168.7.7", "192.168.7.7"),
        (PROXY, "192.168.7.7, 10.9.9.9", "192.168.7.7"),
        # the peer is a stranger: nothing it says counts
        (STRANGER, "198.51.100.1", STRANGER),
        (STRANGER, "127.0.0.1", STRANGER),
        (STRANGER, "10.0.0.1, 10.0.0.2", STRANGER),
        ("2001:db8::1", "198.51.100.1", "2001:db8::1"),
        ("172.32.0.1", "198.51.100.1", "172.32.0.1"),
        ("11.0.0.1", "198.51.100.1", "11.0.0.1"),
        # spoofed by the client, the true one appended by the proxy
        (PROXY, "127.0.0.1, 203.0.113.7", STRANGER),
        (PROXY, "garbage, 203.0.113.7", STRANGER),
        (PROXY, ", , 203.0.113.7", STRANGER),
        # garbage where it counts: the last that was believed
        (PROXY, "198.51.100.1, garbage", PROXY),
        (PROXY, "198.51.100.1, garbage, 192.168.1.1", "192.168.1.1"),
        (PROXY, "unknown", PROXY),
        (PROXY, "_hidden", PROXY),
        (PROXY, ",,,", PROXY),
        (PROXY, " ", PROXY),
        # spellings
        (PROXY, "198.51.100.1:8080", "198.51.100.1"),
        (PROXY, "  198.51.100.1\t", "198.51.100.1"),
        (PROXY, '"198.51.100.1:8080"', "198.51.100.1"),
        (PROXY, "2001:db8::1", "2001:db8::1"),
        (PROXY, "2001:DB8:0:0::1", "2001:db8::1"),
        (PROXY, "[2001:db8::1]", "2001:db8::1"),
        (PROXY, "[2001:db8::1]:443", "2001:db8::1"),
        (PROXY, '"[2001:db8::1]:443"', "2001:db8::1"),
        (PROXY, "fe80::1%eth0", "fe80::1"),
        (PROXY, "[fe80::1%eth0]:80", "fe80::1"),
        (PROXY, "::ffff:198.51.100.1", "198.51.100.1"),
        (PROXY, "[::ffff:198.51.100.1]:80", "198.51.100.1"),
        (PROXY, "198.51.100.1, ::ffff:10.1.1.1", "198.51.100.1"),
        ("fe80::1%eth0", "", "fe80::1"),
        ("::ffff:203.0.113.7", "198.51.100.1", STRANGER),
        # no address at all: a Unix socket, whose peer is a proxy
        (UNIX, "", UNIX),
        (UNIX, "garbage", UNIX),
        (UNIX, "198.51.100.1", "198.51.100.1"),
        (UNIX, "1.1.1.1, 198.51.100.1, 10.0.0.3", "198.51.100.1"),
        ("", "198.51.100.1", ""),
    ],
)
def test_whose_request_it_is(peer: str, header: str, address: str) -> None:
    caller = callers.identify(peer, header, TRUSTED)
    assert (caller.address, caller.admin) == (address, False)
    if ":" not in address:
        assert caller.identity == address


CLIENT, FORGED = "203.0.113.7", "8.8.8.8"

# What each proxy makes of a request in which the client claims to be FORGED, by its own documentation; those that
# Debian has are asked themselves in tests/prove/test_proxies.py. The settings are those of docs/deployment.md.
SENT = {
    "nginx, proxy_add_x_forwarded_for": ({}, "127.0.0.1", {"x-forwarded-for": f"{FORGED}, {CLIENT}"}),
    "nginx, remote_addr": ({}, "127.0.0.1", {"x-forwarded-for": CLIENT}),
    "nginx, X-Real-IP": (
        {"client_header": "X-Real-IP"},
        "127.0.0.1",
        {"x-forwarded-for": FORGED, "x-real-ip": CLIENT},
    ),
    "HAProxy, option forwardfor": ({}, "127.0.0.1", {"x-forwarded-for": f"{FORGED}, {CLIENT}"}),
    "Apache": ({}, "127.0.0.1", {"x-forwarded-for": f"{FORGED}, {CLIENT}", "x-forwarded-host": "x"}),
    "Caddy": ({}, "127.0.0.1", {"x-forwarded-for": CLIENT, "x-forwarded-proto": "http"}),
    "a Unix socket": ({"trusted_proxies": ""}, UNIX, {"x-forwarded-for": f"{FORGED}, {CLIENT}"}),
    "Render": (
        {"client_header": "CF-Connecting-IP"},
        "10.21.157.68",
        {"x-forwarded-for": f"{FORGED}, {CLIENT}, 104.22.17.40", "cf-connecting-ip": CLIENT, "cf-ray": "230b03-SJC"},
    ),
    "Render, by hops": (
        {"proxy_hops": "2"},
        "10.21.157.68",
        {"x-forwarded-for": f"{FORGED}, {CLIENT}, 104.22.17.40", "cf-connecting-ip": CLIENT},
    ),
    "Cloudflare": (
        {"client_header": "CF-Connecting-IP", "trusted_proxies": "173.245.48.0/20"},
        "173.245.48.9",
        {"x-forwarded-for": f"{FORGED},{CLIENT}", "cf-connecting-ip": CLIENT},
    ),
    "Cloudflare, then nginx": (
        {"client_header": "CF-Connecting-IP"},
        "127.0.0.1",
        {
            "x-forwarded-for": f"{FORGED},{CLIENT}, 173.245.48.9",
            "x-real-ip": "173.245.48.9",
            "cf-connecting-ip": CLIENT,
        },
    ),
    "Fly": (
        {"client_header": "Fly-Client-IP", "trusted_proxies": "172.16.0.0/12"},
        "172.16.4.2",
        {"x-forwarded-for": f"{FORGED}, {CLIENT}, 66.241.124.9", "fly-client-ip": CLIENT, "fly-region": "fra"},
    ),
    "Fly, by hops": (
        {"proxy_hops": "2"},
        "172.16.4.2",
        {"x-forwarded-for": f"{FORGED}, {CLIENT}, 66.241.124.9", "fly-client-ip": CLIENT},
    ),
}


@pytest.mark.parametrize("name", sorted(SENT))
def test_a_client_behind_a_proxy_is_who_it_is_and_not_whom_it_claims_to_be(name: str) -> None:
    settings, peer, fields = SENT[name]
    assert Proxies.of(Config.of(**settings)).caller(peer, fields).address == CLIENT


@pytest.mark.parametrize("name", sorted(name for name, sent in SENT.items() if sent[1] != UNIX))
def test_the_same_fields_from_a_stranger_mean_nothing(name: str) -> None:
    settings, _, fields = SENT[name]
    assert Proxies.of(Config.of(**settings)).caller("198.51.100.9", fields).address == "198.51.100.9"


@pytest.mark.parametrize("name", sorted(name for name in SENT if name.startswith(("Render", "Fly"))))
def test_a_platform_that_appends_public_addresses_needs_its_setting(name: str) -> None:
    _, peer, fields = SENT[name]
    assert Proxies.of(Config.of()).caller(peer, fields).address != CLIENT


@pytest.mark.parametrize(
    "settings, field, value",
    [
        ({"proxy_hops": 2}, "x-forwarded-for", CLIENT),  # passed the first proxy by
        ({"proxy_hops": 2}, "x-forwarded-for", f"garbage, {CLIENT}"),
        ({"proxy_hops": 1}, "x-forwarded-for", ""),
        ({"proxy_hops": 3}, "x-forwarded-for", ",,"),
        ({"client_header": "X-Client"}, "x-client", ""),
        ({"client_header": "X-Client"}, "x-client", f"{FORGED}, {CLIENT}"),  # twice, joined
        ({"client_header": "X-Client"}, "x-client", "garbage"),
        ({"client_header": "X-Client"}, "x-forwarded-for", CLIENT),
    ],
)
def test_without_a_usable_field_everybody_behind_a_proxy_is_one_caller(settings: Any, field: str, value: str) -> None:
    proxies = Proxies.of(Config.of(**settings))
    assert proxies.caller(PROXY, {field: value}) == identify(PROXY, "", ())
    assert proxies.caller(UNIX, {field: value}).identity == UNIX


def test_callers_by_a_field_have_the_identity_that_they_have_elsewhere() -> None:
    proxies = Proxies.of(Config.of(client_header="X-Client"))
    for text in (CLIENT, "[2001:db8::1]:443", "::ffff:198.51.100.1"):
        assert proxies.caller(PROXY, {"x-client": text}) == identify(PROXY, text, TRUSTED)


@pytest.mark.parametrize(
    "peer, given, kept",
    [
        (PROXY, "7b1e-4", "7b1e-4"),
        (UNIX, "7b1e-4", "7b1e-4"),
        (STRANGER, "7b1e-4", ""),
        (PROXY, "a" * 64, "a" * 64),
        (PROXY, "a" * 65, ""),
        (PROXY, "", ""),
        (PROXY, "caf\xe9", ""),
        (PROXY, "a\x7f", ""),
        (PROXY, "two, of them", "two, of them"),
    ],
)
def test_an_id_is_taken_from_trusted_proxies_only(peer: str, given: str, kept: str) -> None:
    assert Proxies.of(Config.of()).request_id(peer, {"x-request-id": given}) == kept


def test_a_request_has_no_id_unless_it_is_given_one() -> None:
    assert Proxies.of(Config.of()).request_id(PROXY, {}) == ""


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"trusted_proxies": ""}, "callers are told apart by their connection's address; no proxy is trusted"),
        (
            {"trusted_proxies": "10.0.0.0/8 fc00::/7"},
            "callers are told apart by X-Forwarded-For from 10.0.0.0/8, fc00::/7, and by their connection's address"
            " from elsewhere",
        ),
        (
            {"trusted_proxies": "10.0.0.2", "proxy_hops": 2},
            "callers are told apart by address 2 from the right of X-Forwarded-For from 10.0.0.2/32, and by their"
            " connection's address from elsewhere",
        ),
        (
            {"trusted_proxies": "10.0.0.2", "client_header": "CF-Connecting-IP"},
            "callers are told apart by CF-Connecting-IP from 10.0.0.2/32, and by their connection's address from elsewhere",
        ),
    ],
)
def test_whose_field_is_believed_is_said_in_words(settings: Any, said: str) -> None:
    assert Proxies.of(Config.of(**settings)).describe() == said


def test_a_unix_socket_is_believed_whatever_the_ranges() -> None:
    said = Proxies.of(Config.of(trusted_proxies="")).describe(unix_socket=True)
    assert said == "callers are told apart by X-Forwarded-For, believed from every connection to the socket"


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "-",
        "unknown",
        "x" * 100000,
        "1",
        "1.2.3",
        "1.2.3.4.5",
        "256.1.1.1",
        "01.2.3.4",
        "1.2.3.-4",
        "0x7f.0.0.1",
    ]
    + ["::g", "1::2::3", "[", "]", "[]", "]::1[", ":::", "::ffff:999.1.1.1", "%eth0", "\x00", "é", "１.２.３.４"]
    + ["١.1.1.1", "1.2.3.4/32", "::/0", "localhost", "\ud800", "1.2.3.4 5.6.7.8", "http://1.2.3.4", "for=1.2.3.4"],
)
def test_garbage_never_raises_and_makes_no_identity(text: str) -> None:
    for header in (text, "198.51.100.1, " + text, text + ", " + text):
        caller = callers.identify(PROXY, header, TRUSTED)
        assert caller.identity == PROXY
    if "," not in text:
        assert callers.identify(PROXY, text + ", 198.51.100.1", TRUSTED).identity == "198.51.100.1"


def test_a_million_elements_are_read_from_the_right_and_no_further() -> None:
    started = time.process_time()
    caller = callers.identify(PROXY, "9.9.9.9," * 1000000 + "198.51.100.1, 10.0.0.2", TRUSTED)
    assert caller.address == "198.51.100.1"
    assert time.process_time() - started < 2


def test_the_last_64_bits_of_an_ipv6_address_make_no_new_caller() -> None:
    same = {
        callers.identify(address, "", ()).identity for address in ("2001:db8::1", "2001:db8:0:0:ffff::", "2001:db8::")
    }
    assert same == {"2001:db8::/64"}
    assert callers.identify("2001:db8:0:1::1", "", ()).identity == "2001:db8:0:1::/64"
    assert callers.identify(PROXY, "2001:db8::5", TRUSTED).identity == "2001:db8::/64"
    counters = limits_of()
    for number in range(5):
        counters.charge(callers.identify("2001:db8::%x" % number, "", ()), at(0))
    refused(counters, callers.identify("2001:db8::ffff", "", ()), at(0))
    assert counters.callers == 1


def test_every_ipv4_address_is_a_caller_of_its_own() -> None:
    identities = {callers.identify("192.0.2.%d" % number, "", ()).identity for number in range(256)}
    assert len(identities) == 256


def test_whoever_trusts_nobody_believes_nothing() -> None:
    assert callers.identify("127.0.0.1", "198.51.100.1", ()).address == "127.0.0.1"


def test_whoever_trusts_everybody_ends_at_the_left() -> None:
    everybody = networks("0.0.0.0/0 ::/0")
    assert callers.identify("203.0.113.7", "198.51.100.1, 2001:db8::1", everybody).address == "198.51.100.1"


def test_a_long_chain_of_proxies_is_not_walked_to_its_end() -> None:
    """Parsing an address takes as long as parsing a small request."""
    chain = ", ".join(["198.51.100.1"] + ["10.0.0.%d" % n for n in range(250)])
    assert identify("127.0.0.1", chain, Config.of().trusted_proxies).identity == "10.0.0.230"
    few = ", ".join(["198.51.100.1"] + ["10.0.0.%d" % n for n in range(19)])
    assert identify("127.0.0.1", few, Config.of().trusted_proxies).identity == "198.51.100.1"
