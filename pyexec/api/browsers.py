"""Header fields for browsers: what a page may do, and which pages of other origins may read an answer (CORS). Pure."""

from __future__ import annotations

from typing import List, Sequence, Tuple

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


def fields_of_preflight(cors_origin: str | None, methods: Sequence[str]) -> Fields:
    """Return what OPTIONS says about a path: its methods, and that pages of the allowed origin may use them."""
    allow = ", ".join(methods)
    if cors_origin is None:
        return [("Allow", allow)]
    return [
        ("Allow", allow),
        ("Access-Control-Allow-Methods", allow),
        ("Access-Control-Allow-Headers", "Content-Type, Authorization"),
        ("Access-Control-Max-Age", "86400"),
    ]
