"""What the schema doesn't say of a request, for schemathesis: it would take such a request for a valid one.

JSON Schema can't say some of it; the rest are numbers of one server's settings.
"""

from __future__ import annotations

from typing import Any, List

import schemathesis


def _long(text: Any, most: int) -> bool:
    return isinstance(text, str) and len(text) <= most < len(text.encode("utf-8", "surrogatepass"))


def _items(value: Any) -> List[Any]:
    return value if isinstance(value, list) else []


@schemathesis.hook
def filter_body(context: Any, body: Any) -> bool:
    """Return False for two attachments of one name, for names that are too long in UTF-8, and for too much of something."""
    if not isinstance(body, dict):
        return True
    if len(_items(body.get("attachments"))) > 2 or len(_items(body.get("return_files"))) > 10:
        return False
    if isinstance(body.get("code"), str) and len(body["code"]) > 2000:
        return False
    files = [item for item in _items(body.get("attachments")) if isinstance(item, dict)]
    names = [item["filename"] for item in files if isinstance(item.get("filename"), str)]
    return (
        len(set(names)) == len(names)
        and not any(_long(name, 255) for name in names)
        and not any(_long(path, 4095) for path in _items(body.get("return_files")))
    )
