"""The files of the web page, read once at start into a fixed table: no request can name any other file."""

from __future__ import annotations

import gzip
import os
from typing import NamedTuple

from pyexec.api import response
from pyexec.http1.answer import Answer, Asked


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
    **{f"/static/{name}.js": (f"{name}.js", "text/javascript; charset=utf-8") for name in _SCRIPTS},
}


def _read() -> dict[str, Page]:
    here = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "static")
    table = {}
    for path, (name, content_type) in _FILES.items():
        with open(os.path.join(here, name), "rb") as file:
            content = file.read()
        packed = gzip.compress(content, 9, mtime=0)
        table[path] = Page(content_type, content, response.tag_of(content), packed, response.tag_of(packed))
    return table


PAGES = _read()


def answer(asked: Asked) -> Answer:
    """Return the page at a path of the table."""
    page = PAGES[asked.head.path]
    vary = ("Vary", "Accept-Encoding")
    if not asked.head.takes_gzip:
        return response.kept(asked.head, page.content, page.content_type, page.tag, vary)
    packed = ("Content-Encoding", "gzip")
    return response.kept(asked.head, page.packed, page.content_type, page.packed_tag, vary, packed)
