"""What a model can make of a file: see it, read it, or only be told of it. By its content, not its name. Pure."""

from __future__ import annotations

import mimetypes
import struct
from urllib.parse import quote

_PNG, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"
_MOST_PIXELS = 8000  # a side, which is as much as models take
# Without the host's own tables, so that an answer doesn't depend on them.
_TYPES = mimetypes.MimeTypes(filenames=())
# JSON writes each of these as six bytes.
_BINARY = bytes(set(range(0x20)) - set(b"\t\n\r")) + b"\x7f"


def picture_type(content: bytes) -> str | None:
    """Return the media type of a picture that models take, None for any other file.

    One that is cut off counts as another file: sent to a model, it makes the whole conversation fail.
    """
    if content.startswith(_PNG):
        if len(content) < 33 or not content.endswith(_PNG_END):
            return None
        sides = struct.unpack_from(">II", content, 16)
        return "image/png" if 0 < min(sides) and max(sides) <= _MOST_PIXELS else None
    if content.startswith(b"\xff\xd8\xff") and content.endswith(b"\xff\xd9"):
        return "image/jpeg"
    if content[:6] in (b"GIF87a", b"GIF89a") and content.endswith(b";"):
        return "image/gif"
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP" and _riff_is_whole(content):
        return "image/webp"
    return None


def _riff_is_whole(content: bytes) -> bool:
    size = int(struct.unpack_from("<I", content, 4)[0])
    return size + 8 <= len(content)


def text_of(content: bytes) -> str | None:
    """Return a file's text, None if it isn't UTF-8 or has control characters that no text has."""
    if content.translate(None, _BINARY) != content:
        return None
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return None


def media_type(name: str) -> str:
    """Return the media type that a name suggests."""
    return _TYPES.guess_type(name)[0] or "application/octet-stream"


def uri(name: str) -> str:
    """Return an address for a file of a run; nothing can be fetched from it, since the run is gone."""
    return "pyexec://run/" + quote(name, safe="/")


def is_hidden(name: str) -> bool:
    """Return whether a path is that of a cache or the like, which a library wrote and nobody looks for."""
    return any(part.startswith(".") for part in name.split("/"))


def shown(name: str) -> str:
    """Return a file's name on one line; a script may have put anything into it."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in name[:200])
