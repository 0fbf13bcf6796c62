"""The files of the web page, read once at start into a fixed table: no request can name any other file."""

from __future__ import annotations

import os
from typing import Dict, NamedTuple


class Page(NamedTuple):
    """One file: its bytes and its media type."""

    content: bytes
    content_type: str


_SCRIPTS = ("app", "docs", "dom", "editor", "examples", "highlight", "result", "snippets")
_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/static/style.css": ("style.css", "text/css; charset=utf-8"),
}
_FILES.update({"/static/%s.js" % name: (name + ".js", "text/javascript; charset=utf-8") for name in _SCRIPTS})


def _read() -> Dict[str, Page]:
    here = os.path.dirname(os.path.abspath(__file__))
    table = {}
    for path, (name, content_type) in _FILES.items():
        with open(os.path.join(here, name), "rb") as file:
            table[path] = Page(file.read(), content_type)
    return table


PAGES = _read()
