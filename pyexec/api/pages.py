"""The files of the web page, read once at start into a fixed table: no request can name any other file."""

from __future__ import annotations

import gzip
import hashlib
import os
from typing import Dict, NamedTuple


class Page(NamedTuple):
    """One file: its media type, its bytes as they are and compressed, each with a tag that changes with the bytes."""

    content_type: str
    content: bytes
    tag: str
    packed: bytes
    packed_tag: str


_SCRIPTS = ("app", "docs", "dom", "editor", "examples", "highlight", "result", "snippets")
_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/static/style.css": ("style.css", "text/css; charset=utf-8"),
    "/static/noscript.css": ("noscript.css", "text/css; charset=utf-8"),
}
_FILES.update({"/static/%s.js" % name: (name + ".js", "text/javascript; charset=utf-8") for name in _SCRIPTS})


def tag_of(content: bytes) -> str:
    """Return the ETag of some bytes."""
    return '"%s"' % hashlib.sha256(content).hexdigest()[:24]


def _read() -> Dict[str, Page]:
    here = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "static")
    table = {}
    for path, (name, content_type) in _FILES.items():
        with open(os.path.join(here, name), "rb") as file:
            content = file.read()
        packed = gzip.compress(content, 9, mtime=0)
        table[path] = Page(content_type, content, tag_of(content), packed, tag_of(packed))
    return table


PAGES = _read()
