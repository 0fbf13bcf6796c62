"""The grammar of chunked bodies (RFC 9112, 7.1), as strict as that of heads. Pure.

Whatever two parsers could read in two ways is refused.
"""

from __future__ import annotations

import re

from pyexec import units
from pyexec.errors import ValidationError

# Of chunk extensions and trailer fields together, which are ignored.
MOST_EXTRA = 8192
LONGEST_LINE = 16 + MOST_EXTRA + 2

# White space only before an extension, no sign, no "0x", and no line feed or carriage return but the two at the end.
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})((?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?)\r\n\Z")
_PLAIN_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})\r\n")
_TRAILER = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*\r\n\Z")


class Chunks:
    """What has been read of one body's framing."""

    def __init__(self) -> None:
        """Start before the first chunk."""
        self._extra = 0

    @staticmethod
    def whole(buffer: bytearray) -> tuple[bytearray, int]:
        """Return the contents of the chunks that a buffer begins with, and how many bytes of it they took up.

        Only of those that are complete and have no extensions; the others are not judged here. This saves most of the
        time that a body in tiny chunks takes.
        """
        contents, offset = bytearray(), 0
        while True:
            match = _PLAIN_SIZE.match(buffer, offset)
            size = int(match.group(1), 16) if match else 0
            begin = match.end() if match else 0
            if not size or buffer[begin + size : begin + size + 2] != b"\r\n":
                return contents, offset
            contents += buffer[begin : begin + size]
            offset = begin + size + 2

    def size(self, line: bytes) -> int:
        """Return the size of the chunk that this line announces; 0 for the last. Raises ValidationError."""
        match = _SIZE.match(line)
        if match is None:
            raise ValidationError("A chunk of the body does not begin with its size.")
        self._count_extra(len(match.group(2)))
        return int(match.group(1), 16)

    def is_end(self, line: bytes) -> bool:
        """Return whether this line after the last chunk ends the body, and isn't a trailer. Raises ValidationError."""
        if line == b"\r\n":
            return True
        if not _TRAILER.match(line):
            raise ValidationError("A trailer field of the body is malformed.")
        self._count_extra(len(line))
        return False

    def _count_extra(self, count: int) -> None:
        self._extra += count
        if self._extra > MOST_EXTRA:
            raise ValidationError(f"The body's chunk extensions and trailers are larger than {units.size(MOST_EXTRA)}.")
