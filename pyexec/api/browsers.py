"""What answers tell a browser: what a page may do, and which pages of other origins may read it (CORS). Pure."""

from __future__ import annotations

from typing import List, Optional, Sequence, Tuple

Fields = List[Tuple[str, str]]

# What a script of another origin may read beside the body; without this it can't see how long to wait.
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


def fields_of_all(cors_origin: Optional[str]) -> Fields:
    """Return the header fields that every answer carries."""
    if cors_origin is None:
        return list(_SECURITY_FIELDS)
    cors = [("Access-Control-Allow-Origin", cors_origin), ("Access-Control-Expose-Headers", _EXPOSED)]
    return cors + list(_SECURITY_FIELDS)


def fields_of_preflight(cors_origin: Optional[str], methods: Sequence[str]) -> Fields:
    """Return what OPTIONS says of a path: its methods, and to pages of the allowed origin that they may use them."""
    allow = ", ".join(methods)
    if cors_origin is None:
        return [("Allow", allow)]
    return [
        ("Allow", allow),
        ("Access-Control-Allow-Methods", allow),
        ("Access-Control-Allow-Headers", "Content-Type, Authorization"),
        ("Access-Control-Max-Age", "86400"),
    ]
