"""The kinds of settings that name a socket, a proxy's field or a store. Pure; as in `config_kinds`."""

from __future__ import annotations

import os
import re
import urllib.parse
from typing import Any

from pyexec.config_kinds import Directory, Kind, Text

_FIELD_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}\Z")
_LONGEST_SOCKET_PATH = 107  # of bytes, since the kernel's field has 108, with a NUL
_STORE_SCHEMES = ("redis://", "rediss://")
# Whatever else redis-py takes from there, such as another timeout, would undo what is promised of the store.
_TLS_TEXTS = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_password", "ssl_ciphers")
_TLS_CHOICES = {"ssl_cert_reqs": ("none", "optional", "required"), "ssl_check_hostname": ("true", "false")}
_UNENCODED = re.compile(r"rediss?://[^@]*[]/?#[][^@]*@")  # what would end the password, before the @ that should


class SocketPath(Directory):
    """The path of a Unix socket."""

    def check(self, value: Any) -> str:
        """Return the path, which fits into an address."""
        path = super().check(value)
        if len(os.fsencode(path)) > _LONGEST_SOCKET_PATH:
            raise ValueError(f"must have at most {_LONGEST_SOCKET_PATH} bytes")
        return path


class FieldName(Text):
    """The name of a header field that holds one address."""

    metavar = "NAME"

    def check(self, value: Any) -> str:
        """Return the name as it was written."""
        name = super().check(value)
        if not _FIELD_NAME.match(name):
            raise ValueError("must be the name of a header field, like CF-Connecting-IP")
        if name.lower() in ("x-forwarded-for", "forwarded"):
            raise ValueError("must name a field with one address; for a list of them there is --proxy-hops")
        return name


class StoreUrl(Kind):
    """The URL of a Redis or Valkey. It may have a password in it, so no error repeats it."""

    def check(self, value: Any) -> str:
        """Return the URL."""
        if not isinstance(value, str):
            raise ValueError("must be a string")
        try:
            self._check_parts(value.strip())
        except ValueError:
            if _UNENCODED.match(value.strip()):
                raise ValueError(
                    "must have its password percent-encoded: / as %2F, ? as %3F, # as %23, [ as %5B, ] as %5D, % as %25"
                ) from None
            raise
        return value.strip()

    def _check_parts(self, url: str) -> None:
        try:
            parts = urllib.parse.urlsplit(url)
            port = parts.port
        except ValueError:
            raise ValueError("must be a URL with a valid port") from None
        # redis-py takes the scheme in small letters only, which `parts` makes of any.
        if not url.startswith(_STORE_SCHEMES) or not parts.hostname or port == 0:
            raise ValueError(
                "must be redis://HOST:PORT/0, or rediss:// for TLS, with :PASSWORD@ before HOST if need be"
            )
        if not re.fullmatch(r"/?[0-9]{0,4}", parts.path) or parts.fragment:
            raise ValueError("must end with the number of a database, if with anything")
        for name, value in urllib.parse.parse_qsl(parts.query, keep_blank_values=True):
            if name not in _TLS_TEXTS and name not in _TLS_CHOICES:
                known = ", ".join((*_TLS_TEXTS, *_TLS_CHOICES))
                raise ValueError(f"may have options for TLS behind its question mark, and no others: {known}")
            if parts.scheme != "rediss":
                raise ValueError("must begin with rediss:// to have options for TLS")
            if not value or value not in _TLS_CHOICES.get(name, (value,)):
                raise ValueError(f"must set {name} to {' or '.join(_TLS_CHOICES.get(name, ('a value',)))}")
