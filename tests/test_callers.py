"""Whose request it is: addresses, proxies, networks."""

from __future__ import annotations

import time

import pytest
from counters import at, limits_of, refused

from pyexec import callers
from pyexec.callers import identify
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
        # no address at all: a Unix socket
        ("local", "198.51.100.1", "local"),
        ("", "198.51.100.1", ""),
    ],
)
def test_whose_request_it_is(peer: str, header: str, address: str) -> None:
    caller = callers.identify(peer, header, TRUSTED)
    assert (caller.address, caller.admin) == (address, False)
    if ":" not in address:
        assert caller.identity == address


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
