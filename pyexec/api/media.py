"""What a request says its body is: JSON, in UTF-8, not compressed. Checked before the body is read. Pure."""

from __future__ import annotations

import re

from pyexec.errors import UnsupportedMediaType
from pyexec.http1.message import Head

_CHARSET = re.compile(r';[ \t]*charset[ \t]*=[ \t]*("(?:[^"\\]|\\.)*"|[^;"]*)', re.IGNORECASE)
_UTF8 = ("utf-8", "utf8")


def check_coding(head: Head) -> None:
    """Refuse a compressed body: how large it is would not be known before the work is done.

    Raises:
        UnsupportedMediaType: it has a Content-Encoding.
    """
    codings = [coding.strip() for coding in head.get("content-encoding").split(",")]
    used = [coding for coding in codings if coding.lower() not in ("", "identity")]
    if used and head.has_body:
        named = ", ".join(used)[:100]
        raise UnsupportedMediaType(f"Send the body as it is, without 'Content-Encoding: {named}'.", of_coding=True)


def check_json(head: Head) -> None:
    """Refuse a body that isn't declared as JSON in UTF-8.

    Raises:
        UnsupportedMediaType: it is declared as something else.
    """
    declared = head.get("content-type")
    if declared.partition(";")[0].strip().lower() != "application/json":
        raise UnsupportedMediaType("Send 'Content-Type: application/json'.")
    for charset in _CHARSET.findall(declared):
        name = charset.strip().strip('"').replace("\\", "")
        if name.lower() not in _UTF8:
            raise UnsupportedMediaType(
                "Send the body in UTF-8, with 'Content-Type: application/json; charset=utf-8';"
                f" its charset is '{name[:100]}'."
            )
