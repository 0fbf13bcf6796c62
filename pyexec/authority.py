"""The grammar of an authority, as in Host and in absolute request targets: a host and an optional port. Pure.

It is that of RFC 3986, 3.2, without user information, and without the comma that the RFC allows in a name: two Host
fields that something on the way has joined into one are not one host.
"""

from __future__ import annotations

import re
import socket
from typing import NamedTuple

_AUTHORITY = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::([0-9]*))?\Z")
_NAME = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+;=-]|%[0-9A-Fa-f]{2}){1,255}\Z")
# A zone means something to the client's own host only, but some clients send it.
_LITERAL = re.compile(r"\[([0-9A-Fa-f:.]{2,45})(?:%[A-Za-z0-9._~%-]{1,64})?\]\Z")
_HIGHEST_PORT = 65535


class Authority(NamedTuple):
    """A host, in lower case and without brackets, zone or final dot; its port, if any; whether it is an address."""

    host: str
    port: int | None
    is_address: bool


def parse_authority(text: str) -> Authority:
    """Return the authority that a text is. Raises ValueError."""
    parts = _AUTHORITY.match(text)
    if parts is None:
        raise ValueError("no valid host")
    port = (parts.group(2) or "").lstrip("0")
    if len(port) > 5 or int(port or 0) > _HIGHEST_PORT:
        raise ValueError(f"a port above {_HIGHEST_PORT}")
    number = int(port or 0) if parts.group(2) else None
    literal = _LITERAL.match(parts.group(1))
    if literal is not None and _is(socket.AF_INET6, literal.group(1)):
        return Authority(literal.group(1).lower(), number, True)
    host = parts.group(1).lower()
    host = host[:-1] if host.endswith(".") else host
    if not _NAME.match(host):
        raise ValueError("no valid host")
    return Authority(host, number, _is(socket.AF_INET, host))


def _is(family: int, text: str) -> bool:
    try:
        socket.inet_pton(family, text)
    except OSError:
        return False
    return True
