"""The grammar of chunked bodies (RFC 9112, 7.1), as strict as heads are read: what two parsers may read two ways is
refused. Pure.
"""

from __future__ import annotations

import re
from typing import Tuple

from pyexec.errors import ValidationError

# Of chunk extensions and trailer fields together, which nobody looks at.
MOST_EXTRA = 8192
LONGEST_LINE = 16 + MOST_EXTRA + 2

# No white space but before an extension, no sign, no "0x"; and no line feed or carriage return but the two at the end.
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})((?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?)\r\n\Z")
_PLAIN_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})\r\n")
_TRAILER = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*\r\n\Z")


class Chunks:
    """What has been read of one body's framing."""

    def __init__(self) -> None:
        """Start before the first chunk."""
        self._extra = 0

    @staticmethod
    def whole(buffer: bytearray) -> Tuple[bytearray, int]:
        """Return the contents of the chunks that a buffer begins with, and how many bytes of it they took up.

        Only of those that are there whole and have no extensions, which is no judgement of the others: it saves most of
        the time that a body in tiny chunks takes.
        """
        contents, place = bytearray(), 0
        while True:
            match = _PLAIN_SIZE.match(buffer, place)
            size = int(match.group(1), 16) if match else 0
            begin = match.end() if match else 0
            if not size or buffer[begin + size : begin + size + 2] != b"\r\n":
                return contents, place
            contents += buffer[begin : begin + size]
            place = begin + size + 2

    def size(self, line: bytes) -> int:
        """Return the size of the chunk that this line announces; 0 for the last. Raises ValidationError."""
        match = _SIZE.match(line)
        if match is None:
            raise ValidationError("A chunk of the body does not begin with its size.")
        self._pass_over(len(match.group(2)))
        return int(match.group(1), 16)

    def is_end(self, line: bytes) -> bool:
        """Return whether this line behind the last chunk ends the body, and is no trailer. Raises ValidationError."""
        if line == b"\r\n":
            return True
        if not _TRAILER.match(line):
            raise ValidationError("A trailer field of the body is malformed.")
        self._pass_over(len(line))
        return False

    def _pass_over(self, count: int) -> None:
        self._extra += count
        if self._extra > MOST_EXTRA:
            raise ValidationError("The body's chunk extensions and trailers have more than %d bytes." % MOST_EXTRA)
