"""Which hosts a server answers to, so that no web page can reach it by rebinding its own name to our address.

DNS rebinding needs a name: a page at http://evil.example, whose owner points that name at 127.0.0.1 once the page is
loaded, shares our origin as far as the browser can tell, so CORS doesn't help. The Host that it sends gives it away.
"""

from __future__ import annotations

import ipaddress
import socket

from pyexec.authority import Authority
from pyexec.errors import MisdirectedRequest
from pyexec.http1.message import Head

LOOPBACK = "127.0.0.1"
_LOCAL = ("localhost",)


def is_loopback(listen_on: str) -> bool:
    """Return whether a server that listens on this address or name is reached from this machine only."""
    try:
        return _is_loopback(listen_on)
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(listen_on, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return True  # nothing can listen there; if that changes, the narrower rule holds
    return any(_is_loopback(str(address[0]).partition("%")[0]) for _, _, _, _, address in found)


def _is_loopback(text: str) -> bool:
    address = ipaddress.ip_address(text)
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped if mapped is not None else address).is_loopback)


class Hosts:
    """The rule of one listening socket: an address always; names as configured, and `localhost` on the loopback."""

    def __init__(self, listen_on: str | None, allowed: tuple[str, ...]) -> None:
        """Take the address to listen on, None for a Unix socket, and the names that the operator allows."""
        self._names: frozenset[str] = frozenset()  # which means any: no browser reaches a Unix socket
        if listen_on is not None:
            self._names = frozenset((_LOCAL if is_loopback(listen_on) else ()) + allowed)

    def check(self, head: Head) -> None:
        """Check that a request is for this server.

        Raises:
            MisdirectedRequest: it names another host.
        """
        # A client that names no host speaks HTTP/1.0, which no browser does. Balancers' checks may name any host.
        if head.authority is None or head.path == "/health" and head.method in ("GET", "HEAD"):
            return
        if not self.answers_to(head.authority):
            host = head.authority.host[:100]
            raise MisdirectedRequest(
                f"This server does not answer to the host '{host}'. If it should, add --allowed-hosts {host}."
            )

    def are_surely(self, authority: Authority) -> bool:
        """Return whether a host is this server whoever decides what names point at: an address, or one of our names."""
        return authority.is_address or authority.host in self._names

    def answers_to(self, authority: Authority) -> bool:
        """Return whether a host is one of ours, on any port: something between us and the client may change that."""
        return not self._names or authority.is_address or authority.host in self._names
