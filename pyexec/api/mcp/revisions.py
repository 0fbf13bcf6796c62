"""The protocol's revisions: by which one a request is to be served, and whether its header agrees with its body. Pure.

"Modern" is 2026-07-28: every request says in `_meta` which revision it uses, and HTTP repeats that in the header.
"Legacy" is what begins with `initialize`. Source: https://modelcontextprotocol.io/specification/2026-07-28/basic.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

from pyexec.api.mcp.jsonrpc import HEADER_MISMATCH, INVALID_PARAMS, UNSUPPORTED_VERSION, Message, RpcError
from pyexec.api.request_json import shown
from pyexec.http1.message import Head

MODERN = "2026-07-28"
LEGACY = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
ALL = (MODERN, *LEGACY)
WITH_BATCHES = "2025-03-26"  # the one revision that has them, and that of a request which names none
FIELDS = ("MCP-Protocol-Version", "Mcp-Method", "Mcp-Name")  # of the header, as a browser must be told

_VERSION_KEY = "io.modelcontextprotocol/protocolVersion"
_REQUIRED = (_VERSION_KEY, "io.modelcontextprotocol/clientCapabilities")
# Which parameter of a method the header repeats.
_NAMED_BY = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
_ENCODED = re.compile(r"=\?base64\?(.*)\?=")


@dataclass(frozen=True)
class Header:
    """What the header of an HTTP request says of the message in its body; None for a field that isn't there."""

    version: str | None
    method: str | None
    name: str | None

    @classmethod
    def of(cls, head: Head) -> Header:
        """Return the three fields."""
        return cls(*(head.fields.get(name.lower()) for name in FIELDS))


def is_modern(version: str) -> bool:
    """Return whether results have the modern shape."""
    return version == MODERN


def of_request(message: Message, header: Header | None) -> str:
    """Return the revision to serve a message by.

    Args:
        header: None where there is none, on standard streams.

    Raises:
        RpcError: it names a revision that isn't served, or its header and body disagree.
    """
    declared = _VERSION_KEY in message.meta
    if message.method == "initialize" and not declared:  # whatever the header says: some clients add their newest
        return LEGACY[0]
    named = header.version if header is not None else None
    if not declared and named in (None, *LEGACY):
        return (WITH_BATCHES if header is not None else LEGACY[0]) if named is None else str(named)
    if message.id is None:  # the revision says nothing about the header of notifications
        return _served(named if named is not None else message.meta.get(_VERSION_KEY), message)
    _check_meta(message, named)
    if header is not None:
        _check_header(message, header)
    return _served(message.meta[_VERSION_KEY], message)


def _check_meta(message: Message, named: str | None) -> None:
    if named is not None and named not in ALL:
        _served(named, message)
    missing = [key for key in _REQUIRED if key not in message.meta]
    if missing:
        raise RpcError(INVALID_PARAMS, f"'params._meta' lacks {', '.join(missing)}.", id=message.id)
    if not isinstance(message.meta[_VERSION_KEY], str):
        raise RpcError(INVALID_PARAMS, f"'{_VERSION_KEY}' must be a string.", id=message.id)


def _check_header(message: Message, header: Header) -> None:
    wanted = [(FIELDS[0], header.version, message.meta[_VERSION_KEY]), (FIELDS[1], header.method, message.method)]
    named_by = _NAMED_BY.get(message.method)
    if named_by is not None and named_by in message.params:
        wanted.append((FIELDS[2], _decoded(header.name), message.params[named_by]))
    for field, given, value in wanted:
        if given is None or given != value:
            what = "is missing" if given is None else "isn't what the body says"
            raise RpcError(HEADER_MISMATCH, f"The header field {field} {what}.", id=message.id)


def _decoded(value: str | None) -> str | None:
    """Return the text of a field that may be in the protocol's Base64 form, None if that is malformed."""
    found = _ENCODED.fullmatch(value or "")
    if found is None:
        return value
    try:
        text = base64.b64decode(found.group(1), validate=True)
        return text.decode("utf-8") if base64.b64encode(text).decode() == found.group(1) else None
    except (binascii.Error, ValueError):
        return None


def _served(version: object, message: Message) -> str:
    if version == MODERN:
        return MODERN
    asked = shown(version) if isinstance(version, str) else ""
    data = {"supported": list(ALL), "requested": asked}
    raise RpcError(UNSUPPORTED_VERSION, "Unsupported protocol version", data, message.id)


def negotiated(asked: object) -> str:
    """Return the legacy revision for a client that asks for one: that one if it is known, else the newest."""
    return asked if isinstance(asked, str) and asked in LEGACY else LEGACY[0]
