"""Bytes of a request to a checked `Job`: every field rule of the HTTP contract. Pure; `answers` is the way back.

Source of the rules: the "API" part of README.md. Nothing here parses or even looks at the script's own grammar.
"""

from __future__ import annotations

import binascii
import json
import re
import secrets
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, NoReturn, Optional, Tuple

from pyexec.config import Config
from pyexec.errors import ValidationError
from pyexec.job import SCRIPT_NAME, Attachment, Job

FIELDS = ("code", "api_key", "stdin_data", "attachments", "return_files")
_ATTACHMENT_FIELDS = ("filename", "content_base_64")
_LONGEST_FRAME = 65536
_CONTENT = re.compile(r'"content_base_64"\s*:\s*\Z')
_BEFORE_CONTENT = 100
# So many at a time and no more: the matcher keeps a hundred bytes for each repetition until the whole has matched.
_PART_OF_STRING = re.compile(r'(?:[^"\\]+|\\.){0,4096}', re.DOTALL)
_LONGEST_NAME = 255  # NAME_MAX of Linux file systems
_LONGEST_PATH = 4095  # PATH_MAX, less the final NUL


@dataclass(frozen=True)
class Request:
    """A checked request: the job, not admin yet, and the key that came with it."""

    job: Job
    api_key: Optional[str]


class _Number:
    """Stands for any JSON number; no field takes one, and a long one must not be converted."""

    def __init__(self, _: str) -> None:
        pass


_TYPE_NAMES = {
    str: "a string",
    list: "an array",
    dict: "an object",
    bool: "a boolean",
    _Number: "a number",
    type(None): "null",
}


def _fail(field: Optional[str], message: str) -> NoReturn:
    raise ValidationError(message, field)


def _object(pairs: List[Tuple[str, Any]], contents: Mapping[str, str]) -> Dict[str, Any]:
    found: Dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            _fail(_shown(key), "The field '%s' is there twice." % _shown(key))
        found[key] = contents.get(value, value) if isinstance(value, str) else value
    return found


def _shown(text: str) -> str:
    """Return a name from the request as an error may repeat it: short, and free of lone surrogates."""
    return text[:100].encode("utf-8", "replace").decode("utf-8")


def parse(body: bytes, config: Config) -> Request:
    """Return the checked request in a body.

    Raises:
        ValidationError: names the field that breaks a rule.
    """
    document = _document(body)
    unknown = [key for key in document if key not in FIELDS]
    if unknown:
        _fail(_shown(unknown[0]), "Unknown field '%s'. Known fields: %s." % (_shown(unknown[0]), ", ".join(FIELDS)))
    if document.get("code") is None:
        _fail("code", "The field 'code' is missing.")
    code = _string(document["code"], "code")
    if not 1 <= len(code) <= config.code_chars:
        _fail("code", "'code' must have 1 to %d characters; it has %d." % (config.code_chars, len(code)))
    api_key = document.get("api_key")
    if api_key is not None:
        _string(api_key, "api_key")
    job = Job(
        code=code,
        stdin=_stdin(document.get("stdin_data"), config),
        attachments=_attachments(document.get("attachments"), config),
        return_files=_return_files(document.get("return_files"), config),
    )
    return Request(job, api_key)


def _document(body: bytes) -> Dict[str, Any]:
    invalid = None
    try:
        # As text: json.loads is twice as fast on str as on bytes.
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        # With lone surrogates in place of what is no UTF-8, the check of each field finds it and can name the field.
        invalid, text = "The body is not valid UTF-8: byte %d." % error.start, body.decode("utf-8", "surrogateescape")
    contents: Dict[str, str] = {}
    if len(text) > _LONGEST_FRAME:
        text, contents = _without_contents(text, _check_frame(text))
    try:
        document = (_decoder(contents) if contents else _PLAIN_DECODER).decode(text)
    except RecursionError:
        _fail(None, "The body is not valid JSON for us: it is nested too deeply.")
    except ValueError as error:
        _fail(None, invalid or "The body is not valid JSON: %s." % error)
    if not isinstance(document, dict):
        _fail(None, "The body must be a JSON object, not %s." % _TYPE_NAMES[type(document)])
    if invalid and any(_shown(key) != key[:100] for key in document):
        _fail(None, invalid)
    return document


def _check_frame(text: str) -> List[Tuple[int, int]]:
    """Refuse a body with much between its strings, before it is parsed; return where its long plain strings lie.

    A request is a few long strings in a small frame. Millions of brackets would become objects of sixty times their
    size, made while no other thread can run.
    """
    frame = place = 0
    long: List[Tuple[int, int]] = []
    while frame <= _LONGEST_FRAME:
        start = text.find('"', place)
        if start < 0:
            frame += len(text) - place
            break
        frame += start - place + 2
        end = text.find('"', start + 1)
        if end >= 0 and text.find("\\", start + 1, end) >= 0:
            end = _end_of_string(text, start + 1)
        elif end - start > _LONGEST_FRAME:
            long.append((start + 1, end))
        if end < 0:
            return []  # a string without an end: the parser says where
        place = end + 1
    if frame > _LONGEST_FRAME:
        _fail(None, "The body has more than %d characters outside of its strings." % _LONGEST_FRAME)
    return long


def _end_of_string(text: str, place: int) -> int:
    """Return where the string ends whose content begins at a place, −1 if it doesn't end."""
    while True:
        part = _PART_OF_STRING.match(text, place)
        if part is None or part.end() == place:
            return place if text.startswith('"', place) else -1
        place = part.end()


def _without_contents(text: str, long: List[Tuple[int, int]]) -> Tuple[str, Dict[str, str]]:
    """Return the text with long contents of attachments replaced by marks, and mark → content.

    The parser looks at each character of a string, which for a large file takes as long as decoding it. Nothing is
    lost: what JSON would refuse in such a string is no Base64 either.
    """
    contents: Dict[str, str] = {}
    parts: List[str] = []
    place = 0
    for start, end in long:
        if _CONTENT.search(text, max(0, start - 1 - _BEFORE_CONTENT), start - 1):
            mark = secrets.token_hex(16)  # which no caller can guess and send
            contents[mark] = text[start:end]
            parts += [text[place:start], mark]
            place = end
    return "".join(parts + [text[place:]]), contents


def _constant(name: str) -> NoReturn:
    _fail(None, "The body is not valid JSON: %s is no JSON value." % name)


def _decoder(contents: Mapping[str, str]) -> json.JSONDecoder:
    def of_pairs(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
        return _object(pairs, contents)

    return json.JSONDecoder(
        object_pairs_hook=of_pairs, parse_int=_Number, parse_float=_Number, parse_constant=_constant
    )


_PLAIN_DECODER = _decoder({})


def _string(value: Any, field: str, nul: str = "a NUL character") -> str:
    if not isinstance(value, str):
        _fail(field, "'%s' must be a string, not %s." % (field, _TYPE_NAMES[type(value)]))
    if not value.isascii():  # which is known without a look at a large string
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            _fail(field, "'%s' has invalid UTF-8 or a lone surrogate at character %d." % (field, error.start))
    if "\0" in value:
        _fail(field, "'%s' has %s at character %d." % (field, nul, value.index("\0")))
    return value


def _array(value: Any, field: str, most: int) -> List[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        _fail(field, "'%s' must be an array, not %s." % (field, _TYPE_NAMES[type(value)]))
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
            _fail(where, "'%s' must be an object, not %s." % (where, _TYPE_NAMES[type(entry)]))
        for key in entry:
            if key not in _ATTACHMENT_FIELDS:
                _fail("%s.%s" % (where, _shown(key)), "Unknown field '%s' in '%s'." % (_shown(key), where))
        for key in _ATTACHMENT_FIELDS:
            if entry.get(key) is None:
                _fail("%s.%s" % (where, key), "The field '%s' is missing in '%s'." % (key, where))
        filename = _filename(entry["filename"], where + ".filename")
        if any(filename == other.filename for other in found):
            _fail(where + ".filename", "Two attachments are named '%s'." % filename)
        content = _base64(entry["content_base_64"], where + ".content_base_64", config.attachment_bytes)
        found.append(Attachment(filename, content))
    return tuple(found)


def _filename(value: Any, field: str) -> str:
    name = _string(value, field)
    if not 1 <= len(name.encode("utf-8")) <= _LONGEST_NAME:
        _fail(field, "'%s' must have 1 to %d bytes in UTF-8." % (field, _LONGEST_NAME))
    if "/" in name or "\\" in name or name in (".", ".."):
        _fail(field, "'%s' must be a plain file name, not a path." % field)
    # The categories Cc of Unicode: C0, DEL and C1.
    if any(ord(character) < 0x20 or 0x7F <= ord(character) <= 0x9F for character in name):
        _fail(field, "'%s' has a control character." % field)
    if name == SCRIPT_NAME:
        _fail(field, "'%s' must not be '%s', the script's own name." % (field, SCRIPT_NAME))
    return name


def _base64(value: Any, field: str, longest: int) -> bytes:
    text = _string(value, field)
    # Before decoding: four characters make three bytes.
    if len(text) > (longest + 2) // 3 * 4:
        _fail(field, "'%s' may have at most %d bytes after decoding." % (field, longest))
    if not text.isascii() or len(text) % 4 or "=" in text[:-2] or (text[-2:-1] == "=" and text[-1:] != "="):
        _fail(field, "'%s' is not valid Base64: %s." % (field, _base64_fault(text)))
    # The decoder passes over what is outside the alphabet; then less comes out than must. Twice as fast as its strict
    # mode, which Python 3.8 lacks.
    try:
        content = binascii.a2b_base64(text)
    except binascii.Error:
        content = b""
    if len(content) != len(text) // 4 * 3 - text[-2:].count("="):
        _fail(field, "'%s' is not valid Base64: a character outside the alphabet." % field)
    if len(content) > longest:
        _fail(field, "'%s' may have at most %d bytes after decoding; it has %d." % (field, longest, len(content)))
    return content


def _base64_fault(text: str) -> str:
    if not text.isascii():
        return "a character outside the alphabet"
    return "its length is no multiple of four" if len(text) % 4 else "padding in the wrong place"


def _return_files(value: Any, config: Config) -> Tuple[str, ...]:
    names: List[str] = []
    for place, entry in enumerate(_array(value, "return_files", config.return_files)):
        field = "return_files[%d]" % place
        name = _string(entry, field)
        if not 1 <= len(name.encode("utf-8")) <= _LONGEST_PATH:
            _fail(field, "'%s' must have 1 to %d bytes in UTF-8." % (field, _LONGEST_PATH))
        if name.startswith("/"):
            _fail(field, "'%s' must be a relative path." % field)
        if ".." in name.split("/"):
            _fail(field, "'%s' must not contain '..'." % field)
        if name not in names:
            names.append(name)
    return tuple(names)
