"""The grammar of HTTP/1.1 as far as this server needs it: heads to `Head`, status and fields to bytes. Pure.

Strict where leniency would let two parsers disagree about one request: no folded lines, no space before a colon, no
second Content-Length, no Transfer-Encoding beside one. Source: RFC 9110, RFC 9112.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Sequence

from pyexec.authority import Authority, parse_authority
from pyexec.errors import HeadersTooLarge, NotImplementedHere, ValidationError, VersionNotSupported

REASONS = {status.value: status.phrase for status in HTTPStatus}
LONGEST_HEAD = 32768
MOST_FIELDS = 100

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}\Z")
_TARGET = re.compile(r"[\x21-\x7e]{1,8192}\Z")
_VERSION = re.compile(r"HTTP/1\.[0-9]\Z")
_LATER_VERSION = re.compile(r"HTTP/[2-9](?:\.[0-9])?\Z")
_DIGITS = re.compile(r"[0-9]+\Z")
_MOST_DIGITS = 18
_ABSOLUTE = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)")
_ENTITY_TAG = re.compile(r'"[^"]*"|\*')
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True)
class Head:
    """The head of a request. Field names are in lower case; repeated fields are joined by commas (RFC 9110, 5.3).

    The version is HTTP/1.0 or HTTP/1.1; later minor versions count as HTTP/1.1 (RFC 9110, 2.5).
    """

    method: str
    path: str
    version: str
    fields: dict[str, str]
    authority: Authority | None = None  # the host that is asked; None for an HTTP/1.0 client that doesn't say

    def get(self, name: str) -> str:
        """Return a field's value, "" if it isn't there."""
        return self.fields.get(name, "")

    @property
    def keep_alive(self) -> bool:
        """Whether the client wants to keep this connection open."""
        options = [option.strip().lower() for option in self.get("connection").split(",")]
        if self.version == "HTTP/1.0":
            return "keep-alive" in options
        return "close" not in options

    @property
    def expects_continue(self) -> bool:
        """Whether the client waits for an interim answer before it sends the body."""
        return self.version != "HTTP/1.0" and self.get("expect").lower() == "100-continue"

    @property
    def takes_gzip(self) -> bool:
        """Whether the client names gzip among the codings it accepts; `*` and non-zero weights are ignored."""
        for element in self.get("accept-encoding").lower().split(","):
            coding, _, weight = element.replace(" ", "").partition(";")
            if coding in ("gzip", "x-gzip"):
                return not re.match(r"q=0(\.0*)?$", weight)
        return False

    @property
    def has_body(self) -> bool:
        """Whether a body comes with this head, however long."""
        return self.get("content-length") not in ("", "0") or "transfer-encoding" in self.fields

    def has(self, tag: str) -> bool:
        """Whether the client already has the content with this entity tag (RFC 9110, 13.1.2)."""
        known = _ENTITY_TAG.findall(self.get("if-none-match"))
        return tag in known or "*" in known

    @property
    def body_length(self) -> int | None:
        """The length of the body as announced, None if it isn't."""
        return int(self.fields["content-length"]) if "content-length" in self.fields else None

    @property
    def chunked(self) -> bool:
        """Whether the body comes in chunks.

        Raises:
            ValidationError: its framing is malformed, so where the next request begins is unknown.
            NotImplementedHere: it is in another transfer coding.
        """
        if "transfer-encoding" not in self.fields:
            return False
        codings = self.fields["transfer-encoding"]
        if self.version == "HTTP/1.0":
            raise ValidationError("HTTP/1.0 has no Transfer-Encoding.")
        if codings == "chunked":
            return True
        names = [coding.partition(";")[0].strip(" \t") for coding in codings.split(",")]
        if not all(_TOKEN.match(name) for name in names):
            raise ValidationError("Transfer-Encoding is malformed.")
        if "chunked" in [name.lower() for name in names[:-1]]:
            raise ValidationError("In Transfer-Encoding, 'chunked' must be the last coding and appear once.")
        # In other letters, or with parameters, a server on the way may not have recognized it.
        raise NotImplementedHere("The only Transfer-Encoding that this server accepts is exactly 'chunked'.")


def parse_head(raw: bytes) -> Head:
    """Return the head in these bytes, which end with an empty line.

    Raises:
        ValidationError: malformed. HeadersTooLarge: too long a line or too many fields. VersionNotSupported.
    """
    lines = raw.decode("latin-1").split("\r\n")
    method, path, version, target_authority = _request_line(lines[0])
    fields: dict[str, str] = {}
    if len(lines) - 3 > MOST_FIELDS:
        raise HeadersTooLarge(f"The request has more than {MOST_FIELDS} header fields.")
    for line in lines[1:-2]:
        name, colon, value = line.partition(":")
        if not colon or not _TOKEN.match(name):
            raise ValidationError("A header line is malformed.")
        name, value = name.lower(), value.strip(" \t")
        if _CONTROL.search(value):
            raise ValidationError(f"The header field '{name}' has a control character.")
        if name not in fields:
            fields[name] = value
        elif name in ("content-length", "host", "transfer-encoding", "authorization", "content-type"):
            raise ValidationError(f"The header field '{name}' appears twice.")
        else:
            fields[name] += ", " + value
    if "content-length" in fields:
        if not _DIGITS.match(fields["content-length"]):
            raise ValidationError("Content-Length is not a number.")
        # Longer numbers are too large in any case, and slow to convert.
        fields["content-length"] = fields["content-length"].lstrip("0")[:_MOST_DIGITS] or "0"
        if "transfer-encoding" in fields:
            raise ValidationError("Content-Length and Transfer-Encoding exclude each other.")
    if version == "HTTP/1.1" and "host" not in fields:
        raise ValidationError("The header field 'host' is missing.")
    authority = _authority(fields["host"], "The header field 'host'") if "host" in fields else None
    # If the target names a host as well, that one counts (RFC 9112, 3.2.2).
    return Head(method, path, version, fields, target_authority or authority)


def _authority(text: str, where: str) -> Authority:
    try:
        return parse_authority(text)
    except ValueError as error:
        raise ValidationError(f"{where} has {error}.")


def _request_line(line: str) -> tuple[str, str, str, Authority | None]:
    """Return method, path, version, and the authority of a target in the absolute form."""
    parts = line.split(" ")
    if len(parts) != 3 or not _TOKEN.match(parts[0]):
        raise ValidationError("This is not a request line of HTTP/1.1.")
    if _LATER_VERSION.match(parts[2]):
        raise VersionNotSupported(f"This server speaks HTTP/1.1, not {parts[2]}.")
    if not _VERSION.match(parts[2]):
        raise ValidationError("This is not a request line of HTTP/1.1.")
    version = "HTTP/1.0" if parts[2] == "HTTP/1.0" else "HTTP/1.1"
    if len(parts[1]) > 8192:
        raise HeadersTooLarge("The request target is too long.")
    if not _TARGET.match(parts[1]):
        raise ValidationError("The request target is malformed.")
    target, authority = parts[1], None
    # OPTIONS may have an asterisk, and CONNECT has a host and a port; the router decides on both.
    if not target.startswith("/") and target != "*" and parts[0] != "CONNECT":
        # The absolute form, as sent to a proxy, must be accepted as well (RFC 9112, 3.2.2).
        absolute = _ABSOLUTE.match(target)
        if absolute is None:
            raise ValidationError("The request target must begin with '/'.")
        if absolute.group(1).lower() not in ("http", "https"):
            raise ValidationError("The request target must be an http:// address.")
        authority = _authority(absolute.group(2), "The request target")
        target = target[absolute.end() :]
        target = target if target.startswith("/") else "/" + target
    return parts[0], target.partition("?")[0], version, authority


def render_head(status: int, fields: Sequence[tuple[str, str]]) -> bytes:
    """Return status line and fields as bytes.

    Raises:
        ValueError: a field would break out of its line.
    """
    lines: list[str] = [f"HTTP/1.1 {status} {REASONS.get(status, '')}"]
    for name, value in fields:
        if "\r" in value or "\n" in value:
            raise ValueError(f"a line break in the header field {name}")
        lines.append(f"{name}: {value}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
