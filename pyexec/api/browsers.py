"""Header fields for browsers: what a page may do, and which pages of other origins may read an answer (CORS). Pure."""

from __future__ import annotations

import contextlib
from typing import Callable, List, Sequence, Tuple

from pyexec.authority import Authority, parse_authority
from pyexec.errors import Forbidden
from pyexec.http1.message import Head

Fields = List[Tuple[str, str]]

# What a script of another origin may read beside the body; without it, the script can't see how long to wait.
_EXPOSED = "ETag, RateLimit, RateLimit-Policy, Retry-After"
_SECURITY_FIELDS = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self';"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
    ),
)


def fields_of_all(cors_origin: str | None) -> Fields:
    """Return the header fields that every answer carries."""
    if cors_origin is None:
        return list(_SECURITY_FIELDS)
    cors = [("Access-Control-Allow-Origin", cors_origin), ("Access-Control-Expose-Headers", _EXPOSED)]
    return cors + list(_SECURITY_FIELDS)


def fields_of_preflight(cors_origin: str | None, methods: Sequence[str], more: Sequence[str] = ()) -> Fields:
    """Return what OPTIONS says about a path: its methods, and that pages of the allowed origin may use them.

    Args:
        more: header fields that they may send, beside those of every request.
    """
    allow = ", ".join(methods)
    if cors_origin is None:
        return [("Allow", allow)]
    return [
        ("Allow", allow),
        ("Access-Control-Allow-Methods", allow),
        ("Access-Control-Allow-Headers", ", ".join(["Content-Type", "Authorization", *more])),
        ("Access-Control-Max-Age", "86400"),
    ]


def check_origin(head: Head, cors_origin: str | None, is_ours: Callable[[Authority], bool]) -> None:
    """Check that no page of another origin sends a request that is for programs.

    Whatever a browser sends without asking first, or with a name that was pointed at us, has the page's origin in it.

    Args:
        is_ours: whether a host is surely this server, so that a page from there is our own.

    Raises:
        Forbidden: it comes from a page that may not.
    """
    origin = head.get("origin")
    if not origin or cors_origin in ("*", origin):
        return
    scheme, _, host = origin.partition("://")
    with contextlib.suppress(ValueError):
        same = parse_authority(host) == head.authority
        if scheme in ("http", "https") and same and head.authority is not None and is_ours(head.authority):
            return
    raise Forbidden(f"Pages from {origin[:100]} may not use this. If they should, add --cors-origin {origin[:100]}.")
