"""Bytes of a request to a checked `Job`: every field rule of the HTTP contract. Pure; `answers` is the way back.

Source of the rules: docs/api.md. Nothing here parses or even looks at the script's own grammar.
"""

from __future__ import annotations

import binascii
import re
import string
from dataclasses import dataclass
from typing import Any, List, NoReturn, Optional, Tuple

from pyexec import rules
from pyexec.api import request_json
from pyexec.api.request_json import CONTENT_FIELDS
from pyexec.config import Config
from pyexec.errors import ValidationError
from pyexec.job import Attachment, Job

FIELDS = ("code", "api_key", "stdin_data", "attachments", "return_files")
_ATTACHMENT_FIELDS = ("filename",) + CONTENT_FIELDS
_WHITE = b"\t\n\f\r "
# What a browser's FileReader and its kin put before the content.
_DATA_URL = re.compile(rb"[\t\n\f\r ]*data:[\x20-\x2b\x2d-\x7e]{0,1000};base64,", re.IGNORECASE)
_RAW = re.compile(rb"[\x00-\x1f]")
_ALPHABET = string.ascii_letters.encode() + string.digits.encode() + b"+/"


@dataclass(frozen=True)
class Request:
    """A checked request: the job, not admin yet, and the key that came with it."""

    job: Job
    api_key: Optional[str]


def _fail(field: Optional[str], message: str) -> NoReturn:
    raise ValidationError(message, field)


def parse(body: bytes, config: Config) -> Request:
    """Return the checked request in a body.

    Raises:
        ValidationError: names the field that breaks a rule.
    """
    found = request_json.load(body)
    unknown = [key for key in found if key not in FIELDS]
    if unknown:
        _fail(
            request_json.shown(unknown[0]),
            "Unknown field '%s'. Known fields: %s." % (request_json.shown(unknown[0]), ", ".join(FIELDS)),
        )
    if found.get("code") is None:
        _fail("code", "The field 'code' is missing.")
    code = _string(found["code"], "code")
    if not 1 <= len(code) <= config.code_chars:
        _fail("code", "'code' must have 1 to %d characters; it has %d." % (config.code_chars, len(code)))
    api_key = found.get("api_key")
    if api_key is not None:
        _string(api_key, "api_key")
    job = Job(
        code=code,
        stdin=_stdin(found.get("stdin_data"), config),
        attachments=_attachments(found.get("attachments"), config),
        return_files=_return_files(found.get("return_files"), config),
    )
    return Request(job, api_key)


def _string(value: Any, field: str) -> str:
    if not isinstance(value, str):
        _fail(field, "'%s' must be a string, not %s." % (field, request_json.type_name(value)))
    rules.characters(value, field)
    return value


def _array(value: Any, field: str, most: int) -> List[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        _fail(field, "'%s' must be an array, not %s." % (field, request_json.type_name(value)))
    if len(value) > most:
        _fail(field, "'%s' may have at most %d entries; it has %d." % (field, most, len(value)))
    return value


def _stdin(value: Any, config: Config) -> Optional[bytes]:
    if value is None:
        return None
    data = _string(value, "stdin_data").encode("utf-8")
    if len(data) > config.stdin_bytes:
        _fail("stdin_data", "'stdin_data' may have at most %d bytes; it has %d." % (config.stdin_bytes, len(data)))
    return data


def _attachments(value: Any, config: Config) -> Tuple[Attachment, ...]:
    found: List[Attachment] = []
    for place, entry in enumerate(_array(value, "attachments", config.attachments)):
        where = "attachments[%d]" % place
        if not isinstance(entry, dict):
            _fail(where, "'%s' must be an object, not %s." % (where, request_json.type_name(entry)))
        for key in entry:
            if key not in _ATTACHMENT_FIELDS:
                _fail(
                    "%s.%s" % (where, request_json.shown(key)),
                    "Unknown field '%s' in '%s'. Known fields: filename, content_base_64 (or content_base64)."
                    % (request_json.shown(key), where),
                )
        names = [name for name in CONTENT_FIELDS if entry.get(name) is not None] or [CONTENT_FIELDS[0]]
        if len(names) > 1:
            _fail("%s.%s" % (where, names[1]), "'%s' has its content twice, as '%s' and as '%s'." % (where, *names))
        for key in ("filename", names[0]):
            if entry.get(key) is None:
                _fail("%s.%s" % (where, key), "The field '%s' is missing in '%s'." % (key, where))
        filename = _filename(entry["filename"], where + ".filename")
        rules.another(filename, [other.filename for other in found], where + ".filename")
        content = _base64(entry[names[0]], "%s.%s" % (where, names[0]), config.attachment_bytes)
        found.append(Attachment(filename, content))
    return tuple(found)


def _filename(value: Any, field: str) -> str:
    name = _string(value, field)
    rules.filename(name, field)
    return name


def _base64(value: Any, field: str, longest: int) -> bytes:
    # A long content has not been made a string.
    data = value if isinstance(value, memoryview) else memoryview(_string(value, field).encode("utf-8"))
    prefix = _DATA_URL.match(data)
    if prefix is not None:
        data = data[prefix.end() :]
    # Before decoding: four characters make three bytes.
    most = (longest + 2) // 3 * 4
    content = _decoded(data) if len(data) <= most else None
    if content is None:
        # Not at once: a look at each character for white space, of which most contents have none, costs a copy.
        if isinstance(value, memoryview):
            raw = _RAW.search(value)
            if raw is not None:  # which the parser of JSON has not seen
                _fail(field, "'%s' has %s" % (field, request_json.raw_character(chr(raw.group()[0]))))
        data = memoryview(bytes(data).translate(None, _WHITE))
        if len(data) > most:
            _fail(field, "'%s' may have at most %d bytes after decoding." % (field, longest))
        content = _decoded(data)
    if content is None:
        _fail(field, "'%s' is not valid Base64: %s." % (field, _base64_fault(bytes(data))))
    if len(content) > longest:
        _fail(field, "'%s' may have at most %d bytes after decoding; it has %d." % (field, longest, len(content)))
    return content


def _decoded(data: memoryview) -> Optional[bytes]:
    """Return what strict Base64 stands for, None if it is not that."""
    end = bytes(data[-2:])
    if len(data) % 4 or (end[:1] == b"=" and end[1:] != b"="):
        return None
    # The decoder passes over what is outside the alphabet, and padding in the middle; then less comes out than must.
    # Twice as fast as its strict mode, which Python 3.8 lacks.
    try:
        content = binascii.a2b_base64(data)
    except binascii.Error:
        return None
    return content if len(content) == len(data) // 4 * 3 - end.count(b"=") else None


def _base64_fault(text: bytes) -> str:
    others = text.translate(None, _ALPHABET + b"=")
    if others:
        if not others.strip(b"-_"):
            return "it has '-' or '_' of the URL-safe alphabet; use '+' and '/'"
        return "a character outside the alphabet"
    return "its length is no multiple of four" if len(text) % 4 else "padding in the wrong place"


def _return_files(value: Any, config: Config) -> Tuple[str, ...]:
    names: List[str] = []
    for place, entry in enumerate(_array(value, "return_files", config.return_files)):
        field = "return_files[%d]" % place
        name = _string(entry, field)
        rules.path(name, field)
        if name not in names:
            names.append(name)
    return tuple(names)
