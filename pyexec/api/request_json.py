"""The bytes of a body to a JSON object, so that neither a large file nor an attacker keeps the parser busy. Pure.

The standard library's parser holds the interpreter until it has finished, and makes an object of every bracket. What
each field may be is decided in `request`.
"""

from __future__ import annotations

import json
import re
import secrets
from typing import Any, Mapping, NoReturn

from pyexec import units
from pyexec.errors import ValidationError

_LONGEST_FRAME = 65536
_CONTENT = re.compile(rb'"content_base_?64"\s*:\s*\Z')
CONTENT_FIELDS = ("content_base_64", "content_base64")  # as requests spell it, and as answers do
_NOTHING = re.compile(rb"[ \t\r\n]*\Z")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# How bodies in other encodings begin, and what they are.
_OTHERS = (
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
    (b"\0\0", "UTF-32"),
    (b"\0", "UTF-16"),
    (b"{\0\0", "UTF-32"),
    (b"{\0", "UTF-16"),
    (b"\x1f\x8b", "gzip"),
)
_BEFORE_CONTENT = 100
_FEW_QUOTES = 1000
# At most 4096 at a time: the matcher keeps a hundred bytes for each repetition until the whole has matched.
_PART_OF_STRING = re.compile(rb'(?:[^"\\]+|\\.){0,4096}', re.DOTALL)


class Number:
    """Any JSON number, as it was written; no field of a job takes one, and a long one must not be converted."""

    def __init__(self, text: str) -> None:
        """Take the number's text."""
        self.text = text

    @property
    def is_integer(self) -> bool:
        """Whether it is written as an integer."""
        return self.text.lstrip("-").isdigit()


_TYPE_NAMES = {
    str: "a string",
    list: "an array",
    dict: "an object",
    bool: "a boolean",
    Number: "a number",
    type(None): "null",
}


def shown(text: str) -> str:
    """Return a name from the request as an error may repeat it: short, and free of lone surrogates."""
    return text[:100].encode("utf-8", "replace").decode("utf-8")


def is_text(text: str) -> bool:
    """Return whether a string of a body can be written as UTF-8."""
    return text.encode("utf-8", "replace").decode("utf-8") == text


def type_name(value: Any) -> str:
    """Return what JSON calls a value, with its article."""
    return _TYPE_NAMES[type(value)]


def load(body: bytes) -> dict[str, Any]:
    """Return the object in a body; see `load_any`. Raises ValidationError: it isn't an object."""
    document = load_any(body)
    if not isinstance(document, dict):
        raise ValidationError(f"The body must be a JSON object, not {type_name(document)}.")
    return document


def load_any(body: bytes) -> Any:
    """Return what is in a body, with a view of the body for each long content, and `Number` for each number.

    Raises:
        ValidationError: it isn't JSON, has a name twice, or too much outside of its strings.
    """
    # Some programs put one before every text; RFC 8259, 8.1, allows ignoring it.
    start = len(_BYTE_ORDER_MARK) if body.startswith(_BYTE_ORDER_MARK) else 0
    if _NOTHING.match(body, start):
        raise ValidationError('The body is empty. Send a JSON object, such as {"code": "print(1)"}.')
    for beginning, name in _OTHERS:
        if body.startswith(beginning):
            raise ValidationError(f"The body is not valid UTF-8; it looks like {name}. Send plain JSON in UTF-8.")
    frame, contents = _without_contents(body, start) if len(body) > _LONGEST_FRAME else (body[start:], {})
    invalid = None
    try:
        # As text: json.loads is twice as fast on str as on bytes.
        text = frame.decode("utf-8")
    except UnicodeDecodeError:
        # With lone surrogates in place of invalid bytes, the check of each field finds them and can name the field.
        invalid, text = _invalid_utf8(body), frame.decode("utf-8", "surrogateescape")
    del frame  # which may be a copy of the body
    try:
        document = (_decoder(contents) if contents else _PLAIN_DECODER).decode(text)
    except RecursionError:
        raise ValidationError("The body is nested too deeply.")
    except json.JSONDecodeError as error:
        raise ValidationError(invalid or _invalid_json(error, contents))
    if invalid and isinstance(document, dict) and any(shown(key) != key[:100] for key in document):
        raise ValidationError(invalid)
    return document


def _invalid_utf8(body: bytes) -> str:
    try:
        body.decode("utf-8")
    except UnicodeDecodeError as error:
        return f"The body is not valid UTF-8 at byte {error.start}. Encode it as UTF-8 before sending it."
    raise AssertionError("a part of a valid body was not valid")


def _invalid_json(error: json.JSONDecodeError, contents: Mapping[str, memoryview]) -> str:
    # The parser saw a mark in place of each long content.
    position, seen = error.pos, 0
    for mark, view in contents.items():  # in the order of the body
        seen = error.doc.find(mark, seen, error.pos)
        if seen < 0:
            break
        position += len(view) - len(mark)
    where = f"character {position}" if contents else f"line {error.lineno}, column {error.colno}"
    if not error.msg.startswith("Invalid control character"):
        return f"The body is not valid JSON at {where}: {error.msg}."
    return f"The body is not valid JSON at {where}: {raw_character(error.doc[error.pos : error.pos + 1])}"


def raw_character(character: str) -> str:
    """Return what to say about an unescaped control character in a string."""
    names = {"\n": ("line break", "\\n"), "\r": ("carriage return", "\\r"), "\t": ("tab", "\\t")}
    name, escape = names.get(character, ("control character", f"\\u{ord(character):04x}"))
    return f"a raw {name} in a string. Write it as {escape}, or let a JSON library write the body."


def _check_frame(body: bytes, start: int) -> list[tuple[int, int]]:
    """Refuse a body with much outside of its strings, before it is parsed; return where its long plain strings are.

    A request is a few long strings in a small frame. Millions of brackets would become objects of sixty times their
    size, made while no other thread can run.
    """
    frame, offset = 0, start
    long: list[tuple[int, int]] = []
    while frame <= _LONGEST_FRAME:
        start = body.find(b'"', offset)
        if start < 0:
            frame += len(body) - offset
            break
        frame += start - offset + 2
        end = body.find(b'"', start + 1)
        if end >= 0 and body.find(b"\\", start + 1, end) >= 0:
            end = _end_of_string(body, start + 1)
        elif end - start > _LONGEST_FRAME:
            long.append((start + 1, end))
        if end < 0:
            return []  # a string without an end; the parser says where
        offset = end + 1
    if frame > _LONGEST_FRAME:
        raise ValidationError(f"The body has more than {units.size(_LONGEST_FRAME)} outside of its strings.")
    return long


def _end_of_string(body: bytes, offset: int) -> int:
    """Return where the string ends whose content begins at an offset, −1 if it doesn't end."""
    # Text has few quotes, and one after an even number of backslashes is the end. For millions of quotes the matcher is
    # faster: it needs a third of the time for each.
    for _ in range(_FEW_QUOTES):
        end = body.find(b'"', offset)
        before = body[offset:end]
        if end < 0 or (len(before) - len(before.rstrip(b"\\"))) % 2 == 0:
            return end
        offset = end + 1
    while True:
        part = _PART_OF_STRING.match(body, offset)
        if part is None or part.end() == offset:
            return offset if body.startswith(b'"', offset) else -1
        offset = part.end()


def _without_contents(body: bytes, start: int) -> tuple[bytes, dict[str, memoryview]]:
    """Return a long body with long contents of attachments replaced by marks, and mark → content.

    The parser looks at each character of a string, which for a large file takes as long as decoding it. Nothing is
    lost: what JSON would refuse in such a string isn't Base64 either.
    """
    contents: dict[str, memoryview] = {}
    parts: list[bytes | memoryview] = []
    view, offset = memoryview(body), start
    for begin, end in _check_frame(body, start):
        if _CONTENT.search(body, max(0, begin - 1 - _BEFORE_CONTENT), begin - 1):
            mark = secrets.token_hex(16)  # which no caller can guess and send
            contents[mark] = view[begin:end]
            parts += [view[offset:begin], mark.encode("ascii")]
            offset = end
    # Without any, and without a byte order mark, the frame is the body itself, not a copy.
    return (b"".join([*parts, view[offset:]]) if parts else body[start:]), contents


def _object(pairs: list[tuple[str, Any]], contents: Mapping[str, memoryview]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValidationError(f"The field '{shown(key)}' appears twice.", shown(key))
        found[key] = contents.get(value, value) if isinstance(value, str) else value
    return found


def _constant(name: str) -> NoReturn:
    raise ValidationError(f"The body is not valid JSON: {name} is not a JSON value.")


def _decoder(contents: Mapping[str, memoryview]) -> json.JSONDecoder:
    def of_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return _object(pairs, contents)

    return json.JSONDecoder(object_pairs_hook=of_pairs, parse_int=Number, parse_float=Number, parse_constant=_constant)


_PLAIN_DECODER = _decoder({})
