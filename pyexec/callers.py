"""Whose request it is: the client's address behind a connection and its proxies. Pure."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Iterable, Union

from pyexec.config import Network

_MOST_PROXIES = 20  # in a chain; each address takes longer to parse than the rest of a small request

Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]


@dataclass(frozen=True)
class Caller:
    """Whose quota a request counts against. `identity` is the address, or the /64 of an IPv6 address."""

    address: str
    identity: str
    admin: bool = False


def parse_address(text: str) -> Address | None:
    """Return the address in one element of X-Forwarded-For, with or without port, brackets or zone; None if malformed.

    An IPv4 address mapped into IPv6 is the IPv4 address.
    """
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped if mapped is not None else address


def _is_trusted(address: Address, trusted: Iterable[Network]) -> bool:
    return any(address.version == network.version and address in network for network in trusted)


def identify(peer: str, forwarded_for: str, trusted: tuple[Network, ...]) -> Caller:
    """Return the caller of a request, not yet an admin.

    Args:
        peer: the connection's other end. forwarded_for: all X-Forwarded-For values, joined by commas in order.
        trusted: ranges of proxies. The header counts only if the peer is a proxy. Then the right-most address that
            isn't a proxy is the caller's, or else the left-most one. Whatever precedes a malformed one is ignored.
    """
    address = parse_address(peer)
    if address is None:  # such as a Unix socket, whose callers all count as one
        return Caller(peer, peer)
    for element in reversed(forwarded_for.rsplit(",", _MOST_PROXIES)[-_MOST_PROXIES:]):
        if not _is_trusted(address, trusted):
            break
        named = parse_address(element)
        if named is None:
            break
        address = named
    if address.version == 6:
        return Caller(str(address), str(ipaddress.ip_network((address, 64), strict=False)))
    return Caller(str(address), str(address))
