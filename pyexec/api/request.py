"""Bytes of a request to a checked `Job`: every field rule of the HTTP contract. Pure; `response` is the way back.

Source of the rules: docs/api.md. Nothing here parses or even looks at the script's own grammar.
"""

from __future__ import annotations

import binascii
import difflib
import re
import string
from dataclasses import dataclass
from typing import Any, NoReturn

from pyexec import rules, units
from pyexec.api import request_json
from pyexec.api.request_json import CONTENT_FIELDS
from pyexec.config import Config
from pyexec.errors import ValidationError
from pyexec.job import Attachment, Job

FIELDS = ("code", "api_key", "stdin_data", "attachments", "return_files", "value", "locals")
_ATTACHMENT_FIELDS = ("filename",) + CONTENT_FIELDS
# What other interfaces call the same things.
_ALIASES = {"stdin": "stdin_data", "input": "stdin_data", "script": "code", "source": "code", "python": "code"}
_ALIASES.update(files="attachments", outputfiles="return_files", key="api_key", token="api_key")
_LONGEST_NEAR, _SIMILAR = 40, 0.75
_WHITE = b"\t\n\f\r "
# What a browser's FileReader and the like put before the content.
_DATA_URL = re.compile(rb"[\t\n\f\r ]*data:[\x20-\x2b\x2d-\x7e]{0,1000};base64,", re.IGNORECASE)
_RAW = re.compile(rb"[\x00-\x1f]")
_ALPHABET = string.ascii_letters.encode() + string.digits.encode() + b"+/"


@dataclass(frozen=True)
class Request:
    """A checked request: the job, not yet an admin's, and the key that came with it."""

    job: Job
    api_key: str | None


def _fail(field: str | None, message: str) -> NoReturn:
    raise ValidationError(message, field)


def parse(body: bytes, config: Config) -> Request:
    """Return the checked request in a body.

    Raises:
        ValidationError: names the field that breaks a rule.
    """
    found = request_json.load(body)
    unknown = [key for key in found if key not in FIELDS]
    if unknown:
        name = request_json.shown(unknown[0])
        _fail(name, f"Unknown field '{name}'. {_near(unknown[0])}Known fields: {', '.join(FIELDS)}.")
    if found.get("code") is None:
        _fail("code", "The field 'code' is missing.")
    code = _string(found["code"], "code")
    if not 1 <= len(code) <= config.code_chars:
        _fail("code", f"'code' must have 1 to {units.count(config.code_chars, 'character')}; it has {len(code)}.")
    api_key = found.get("api_key")
    if api_key is not None:
        _string(api_key, "api_key")
    job = Job(
        code=code,
        stdin=_stdin(found.get("stdin_data"), config),
        attachments=_attachments(found.get("attachments"), config),
        return_files=_return_files(found.get("return_files"), config),
        value=_boolean(found.get("value"), "value", False),
        locals=_boolean(found.get("locals"), "locals", True),
    )
    return Request(job, api_key)


def _near(name: str) -> str:
    """Return a question whether another field was meant, with a space after it; "" where that isn't likely."""
    if len(name) > _LONGEST_NEAR:
        return ""
    plain = name.lower().replace("_", "").replace("-", "")
    meant = _ALIASES.get(plain) or next(iter(difflib.get_close_matches(name.lower(), FIELDS, 1, _SIMILAR)), None)
    meant = next((field for field in FIELDS if field.replace("_", "") == plain), meant)
    return f"Did you mean '{meant}'? " if meant else ""


def _string(value: Any, field: str) -> str:
    if not isinstance(value, str):
        _fail(field, f"'{field}' must be a string, not {request_json.type_name(value)}.")
    rules.characters(value, field)
    return value


def _boolean(value: Any, field: str, default: bool) -> bool:
    if value is None:
        return default
    if not isinstance(value, bool):
        _fail(field, f"'{field}' must be true or false, not {request_json.type_name(value)}.")
    return value


def _array(value: Any, field: str, most: int) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        _fail(field, f"'{field}' must be an array, not {request_json.type_name(value)}.")
    if len(value) > most:
        _fail(field, f"'{field}' may have at most {units.count(most, 'entry', 'entries')}; it has {len(value)}.")
    return value


def _stdin(value: Any, config: Config) -> bytes | None:
    if value is None:
        return None
    data = _string(value, "stdin_data").encode("utf-8")
    if len(data) > config.stdin_bytes:
        size = units.count(len(data), "byte")
        _fail("stdin_data", f"'stdin_data' may have at most {units.size(config.stdin_bytes)}; it has {size}.")
    return data


def _attachments(value: Any, config: Config) -> tuple[Attachment, ...]:
    found: list[Attachment] = []
    for index, entry in enumerate(_array(value, "attachments", config.attachments)):
        where = f"attachments[{index}]"
        if not isinstance(entry, dict):
            _fail(where, f"'{where}' must be an object, not {request_json.type_name(entry)}.")
        for key in entry:
            if key not in _ATTACHMENT_FIELDS:
                name = request_json.shown(key)
                known = "Known fields: filename, content_base_64 (or content_base64)."
                _fail(f"{where}.{name}", f"Unknown field '{name}' in '{where}'. {known}")
        names = [name for name in CONTENT_FIELDS if entry.get(name) is not None] or [CONTENT_FIELDS[0]]
        if len(names) > 1:
            _fail(f"{where}.{names[1]}", f"'{where}' has its content twice, as '{names[0]}' and as '{names[1]}'.")
        for key in ("filename", names[0]):
            if entry.get(key) is None:
                _fail(f"{where}.{key}", f"The field '{key}' is missing in '{where}'.")
        filename = _filename(entry["filename"], f"{where}.filename")
        rules.another(filename, [other.filename for other in found], f"{where}.filename")
        content = decode_base64(entry[names[0]], f"{where}.{names[0]}", config.attachment_bytes)
        found.append(Attachment(filename, content))
    return tuple(found)


def _filename(value: Any, field: str) -> str:
    name = _string(value, field)
    rules.filename(name, field)
    return name


def decode_base64(value: Any, field: str, longest: int) -> bytes:
    """Return a file's content from a string, or from a view of it in the body. Raises ValidationError."""
    # A long content is still a view of the body.
    data = value if isinstance(value, memoryview) else memoryview(_string(value, field).encode("utf-8"))
    prefix = _DATA_URL.match(data)
    if prefix is not None:
        data = data[prefix.end() :]
    # Checked before decoding: four characters make three bytes.
    most = (longest + 2) // 3 * 4
    content = _decoded(data) if len(data) <= most else None
    if content is None:
        # Only now: removing white space, of which most contents have none, costs a copy.
        if isinstance(value, memoryview):
            raw = _RAW.search(value)
            if raw is not None:  # which the JSON parser has not seen
                _fail(field, f"'{field}' has {request_json.raw_character(chr(raw.group()[0]))}")
        data = memoryview(bytes(data).translate(None, _WHITE))
        if len(data) > most:
            _fail(field, f"'{field}' may have at most {units.size(longest)} after decoding.")
        content = _decoded(data)
    if content is None:
        _fail(field, f"'{field}' is not valid Base64: {_base64_fault(bytes(data))}.")
    if len(content) > longest:
        size = units.count(len(content), "byte")
        _fail(field, f"'{field}' may have at most {units.size(longest)} after decoding; it has {size}.")
    return content


def _decoded(data: memoryview) -> bytes | None:
    """Return the decoded bytes, None if it isn't strict Base64."""
    end = bytes(data[-2:])
    if len(data) % 4 or (end[:1] == b"=" and end[1:] != b"="):
        return None
    # The decoder skips what is outside the alphabet, and padding in the middle; then too little comes out. This is
    # twice as fast as its strict mode, which Python 3.8 lacks.
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
        return "it has a character outside the alphabet"
    return "its length is not a multiple of four" if len(text) % 4 else "its padding is in the wrong place"


def _return_files(value: Any, config: Config) -> tuple[str, ...]:
    names: list[str] = []
    for index, entry in enumerate(_array(value, "return_files", config.return_files)):
        field = f"return_files[{index}]"
        name = _string(entry, field)
        rules.path(name, field)
        if name not in names:
            names.append(name)
    return tuple(names)
