"""What the log says of a request: never code, files or keys, no query, and nothing that could forge an entry. Pure."""

from __future__ import annotations

from pyexec.http1.answer import Answer
from pyexec.http1.message import Head

_LONGEST_PATH = 200


def fields(answer: Answer, head: Head | None, caller: str, status: int, took_s: float) -> dict[str, object]:
    """Return the entry's fields.

    Args:
        head: None if there was none, or none that could be relied on. caller: an address, or "admin".
        status: that of the answer, or 499 if its client did not wait for it.
    """
    found: dict[str, object] = {
        "caller": caller,
        "method": "-" if head is None else head.method,
        "path": "-" if head is None else head.path[:_LONGEST_PATH],
        "status": status,
        "type": answer.kind,
        "bytes": answer.length,
        "ms": round(took_s * 1000, 1),
    }
    if answer.key:
        found["key"] = answer.key
    if answer.fault:
        found["fault"] = answer.fault
    return found
