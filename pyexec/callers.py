"""Whose request it is: the client's address behind a connection and its proxies. Pure."""

from __future__ import annotations

import functools
import ipaddress
import re
from dataclasses import dataclass
from typing import Iterable, Mapping, Union

from pyexec.config import Config, Network
from pyexec.key_file import NamedKey

UNIX = "unix"  # the peer of every connection to a Unix socket, which has no address
FORWARDED_FOR, REAL_IP = "X-Forwarded-For", "X-Real-IP"

_MOST_PROXIES = 20  # in a chain; each address takes longer to parse than the rest of a small request
_LONGEST_ADDRESS = 45  # characters: IPv6 with an IPv4 address at its end
_REQUEST_ID = re.compile(r"[\x20-\x7e]{1,64}\Z")

Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]


@dataclass(frozen=True)
class Caller:
    """Whose quota a request counts against.

    Attributes:
        identity: the address, or the /64 of an IPv6 address, or for a named key its name with "key " before it.
        admin: may import anything and start processes. key: the named key that came with the request.
    """

    address: str
    identity: str
    admin: bool = False
    key: NamedKey | None = None

    @property
    def unlimited(self) -> bool:
        """Whether nothing is counted: so it is with the one admin key, while a named key has an account."""
        return self.admin and self.key is None


def parse_address(text: str) -> Address | None:
    """Return the address in one element of X-Forwarded-For, with or without port, brackets or zone; None if malformed.

    An IPv4 address mapped into IPv6 is the IPv4 address.
    """
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    text = text.partition("%")[0]
    return _parsed(text) if len(text) <= _LONGEST_ADDRESS else None


@functools.lru_cache(maxsize=1024)  # each request asks for its peer's several times
def _parsed(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text)
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
        trusted: ranges of proxies. The header counts only if the peer is a proxy, as that of a Unix socket is. Then the
            right-most address that isn't a proxy is the caller's, or else the left-most one. Whatever precedes a
            malformed one is ignored.
    """
    address = parse_address(peer)
    if address is None and peer != UNIX:
        return Caller(peer, peer)
    for element in reversed(forwarded_for.rsplit(",", _MOST_PROXIES)[-_MOST_PROXIES:]):
        if address is not None and not _is_trusted(address, trusted):
            break
        named = parse_address(element)
        if named is None:
            break
        address = named
    return Caller(peer, peer) if address is None else _caller_at(address)


def _caller_at(address: Address) -> Caller:
    if address.version == 6:
        return Caller(str(address), str(ipaddress.ip_network((address, 64), strict=False)))
    return Caller(str(address), str(address))


@dataclass(frozen=True)
class Proxies:
    """Whose word on the caller's address is believed, and in which header field.

    Attributes:
        trusted: the proxies' ranges. hops: if set, the caller is the hops-th address from the right of X-Forwarded-For,
            whatever the others are. header: if set, the field that has the caller's address and nothing else.
    """

    trusted: tuple[Network, ...]
    hops: int | None = None
    header: str | None = None

    @classmethod
    def of(cls, config: Config) -> Proxies:
        """Return what the settings say."""
        return cls(config.trusted_proxies, config.proxy_hops, config.client_header)

    @property
    def field(self) -> str:
        """The name of the field that is believed."""
        return self.header or FORWARDED_FOR

    def trust(self, peer: str) -> bool:
        """Return whether a connection's other end is a proxy whose fields are believed; a Unix socket's always is."""
        address = parse_address(peer)
        return peer == UNIX if address is None else _is_trusted(address, self.trusted)

    def caller(self, peer: str, fields: Mapping[str, str]) -> Caller:
        """Return whose request this is, not yet an admin.

        Args:
            fields: the request's, names in lower case. Where the one that is believed is missing, malformed or too
                short, all requests of that peer are one caller's.
        """
        value = fields.get(self.field.lower(), "")
        if self.hops is None and self.header is None:
            return identify(peer, value, self.trusted)
        named = parse_address(self._chosen(value)) if self.trust(peer) else None
        return identify(peer, "", ()) if named is None else _caller_at(named)

    def _chosen(self, value: str) -> str:
        if self.hops is None:
            return value
        elements = value.rsplit(",", self.hops)[-self.hops :]
        return elements[0] if len(elements) == self.hops else ""

    def request_id(self, peer: str, fields: Mapping[str, str]) -> str:
        """Return the X-Request-ID that a trusted proxy gave a request, "" if it is missing, long or not plain ASCII."""
        value = fields.get("x-request-id", "")
        return value if _REQUEST_ID.match(value) and self.trust(peer) else ""

    def describe(self, unix_socket: bool = False) -> str:
        """Return in words how callers are told apart."""
        if not self.trusted and not unix_socket:
            return "callers are told apart by their connection's address; no proxy is trusted"
        which = f"address {self.hops} from the right of {self.field}" if self.hops else self.field
        if unix_socket:
            return f"callers are told apart by {which}, believed from every connection to the socket"
        ranges = ", ".join(str(network) for network in self.trusted)
        return f"callers are told apart by {which} from {ranges}, and by their connection's address from elsewhere"
