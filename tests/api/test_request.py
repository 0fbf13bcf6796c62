"""What a request may say: the field rules of the HTTP contract, without a socket."""

from __future__ import annotations

import base64
import gzip
import itertools
import json
import re
import time
import tracemalloc
from datetime import datetime, timezone
from typing import Any, Dict, List, Optional

import pytest
from answers import document_of
from hypothesis import given, settings
from hypothesis import strategies as st
from support import FUZZ, MIB, check_error

from pyexec import errors
from pyexec.api import request as contract
from pyexec.api.response import Context
from pyexec.config import Config
from pyexec.job import Attachment, Job

CONFIG = Config.of()
EMOJI = "\U0001f600"


def parse(document: Any, config: Config = CONFIG) -> contract.Request:
    return contract.parse(document if isinstance(document, bytes) else json.dumps(document).encode("utf-8"), config)


def refusal(document: Any, config: Config = CONFIG) -> errors.ValidationError:
    """Return the error that a body gives, its status, type and shape checked."""
    with pytest.raises(errors.PyexecError) as caught:
        parse(document, config)
    error = caught.value
    assert isinstance(error, errors.ValidationError)
    assert (error.status, error.type) == (400, "ValidationError")
    assert len(error.message) < 500
    shown = document_of(error, Context(datetime.now(timezone.utc)))
    check_error(shown)
    assert shown["error_details"]["field"] == error.field
    return error


def attached(filename: Any = "a", content: Any = "", **more: Any) -> Dict[str, Any]:
    return {"code": "1", "attachments": [dict({"filename": filename, "content_base_64": content}, **more)]}


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


# -- what is taken ----------------------------------------------------------------------------------------------------


def test_the_smallest_request() -> None:
    assert parse({"code": "1"}) == contract.Request(Job("1"), None)


def test_every_field_arrives_as_it_was_sent() -> None:
    found = parse(
        {
            "code": "print('é" + EMOJI + "')\r\n\t",
            "api_key": " ключ ",
            "stdin_data": "жаба\n",
            "attachments": [
                {"filename": "ä.bin", "content_base_64": encoded(b"\x00\xff")},
                {"content_base_64": "", "filename": "empty"},
            ],
            "return_files": ["b", "dir/ä.txt", "b", "./b"],
            "value": True,
            "locals": False,
        }
    )
    assert found.api_key == " ключ "
    assert found.job == Job(
        code="print('é" + EMOJI + "')\r\n\t",
        stdin="жаба\n".encode(),
        attachments=(Attachment("ä.bin", b"\x00\xff"), Attachment("empty", b"")),
        return_files=("b", "dir/ä.txt", "./b"),
        admin=False,
        value=True,
        locals=False,
    )


def test_null_for_an_optional_field_means_absent() -> None:
    nulls = dict.fromkeys(contract.FIELDS, None)
    assert parse(dict(nulls, code="1")) == parse({"code": "1"})
    assert parse({"code": "1"}).job == Job("1", value=False, locals=True)


def test_empty_optional_fields_are_there() -> None:
    found = parse({"code": "1", "api_key": "", "stdin_data": "", "attachments": [], "return_files": []})
    assert (found.api_key, found.job.stdin, found.job.attachments, found.job.return_files) == ("", b"", (), ())


@pytest.mark.parametrize(
    "body",
    [b' \t\r\n{"code" : "1"}\n ', b'{"code":"\\u0031"}', b'{"c\\u006fde":"1"}'],
    ids=["white space", "escape in a value", "escape in a name"],
)
def test_any_spelling_of_the_same_json_is_the_same(body: bytes) -> None:
    assert parse(body).job.code == "1"


def test_a_surrogate_pair_is_one_character() -> None:
    found = parse(b'{"code": "1", "stdin_data": "\\ud83d\\ude00"}')
    assert found.job.stdin == EMOJI.encode("utf-8")


@pytest.mark.parametrize("character", ["x", "é", "€", EMOJI, "\u0301", "\u2028", "\x7f", "\ufeff"])
def test_code_is_bounded_in_characters(character: str) -> None:
    assert len(parse({"code": character}).job.code) == 1
    assert len(parse({"code": character * 2000}).job.code) == 2000
    error = refusal({"code": character * 2001})
    assert error.field == "code"
    assert "2000" in error.message and "2001" in error.message


def test_the_bounds_are_settings() -> None:
    config = Config.of(code_chars=3, attachments=1, attachment_bytes=4, stdin_bytes=2, return_files=1)
    fits = dict(attached(content=encoded(b"1234")), code="123", stdin_data="é", return_files=["a"])
    assert parse(fits, config).job.attachments[0].content == b"1234"
    assert refusal(dict(fits, code="1234"), config).field == "code"
    assert refusal(dict(fits, stdin_data="é1"), config).field == "stdin_data"
    assert refusal(dict(fits, return_files=["a", "b"]), config).field == "return_files"
    assert refusal(dict(fits, attachments=fits["attachments"] * 2), config).field == "attachments"
    assert refusal(attached(content=encoded(b"12345")), config).field == "attachments[0].content_base_64"
    nothing = Config.of(attachments=0, return_files=0)
    assert parse({"code": "1", "attachments": [], "return_files": []}, nothing).job == Job("1")
    assert refusal(attached(), nothing).field == "attachments"
    assert refusal({"code": "1", "return_files": ["a"]}, nothing).field == "return_files"


# -- the body as a whole ----------------------------------------------------------------------------------------------

NOT_JSON = {
    "empty": b"",
    "white space": b" \n",
    "text": b"hello",
    "cut off": b'{"code": "1"',
    "cut off in a string": b'{"code": "1',
    "cut off in an escape": b'{"code": "\\u00',
    "something behind it": b'{"code": "1"} {}',
    "single quotes": b"{'code': '1'}",
    "trailing comma": b'{"code": "1",}',
    "comment": b'{"code": "1"} // x',
    "no quotes": b'{code: "1"}',
    "raw line break in a string": b'{"code": "a\nb"}',
    "raw NUL in a string": b'{"code": "a\0b"}',
    "NUL behind it": b'{"code": "1"}\0',
    "bad escape": b'{"code": "\\x41"}',
    "byte order mark alone": b"\xef\xbb\xbf",
    "byte order mark, then nothing": b"\xef\xbb\xbf \n",
    "two byte order marks": b'\xef\xbb\xbf\xef\xbb\xbf{"code": "1"}',
    "byte order mark in the middle": b' \xef\xbb\xbf{"code": "1"}',
    "UTF-16": '{"code": "1"}'.encode("utf-16"),
    "UTF-32, no mark": '{"code": "1"}'.encode("utf-32-be"),
    "NaN": b'{"code": "1", "stdin_data": NaN}',
    "Infinity": b'{"code": Infinity}',
    "-Infinity": b"-Infinity",
    "array": b"[]",
    "array with an object": b'[{"code": "1"}]',
    "string": b'"code"',
    "integer": b"1",
    "fraction": b"1.5e3",
    "boolean": b"true",
    "null": b"null",
    "leading zero": b'{"code": 01}',
    "half an object": b"{",
    "deep array": b"[" * 200000,
    "deep array, closed": b"[" * 200000 + b"]" * 200000,
    "deep object": b'{"a":' * 200000,
    "deep in a field": b'{"code": "1", "attachments": ' + b"[" * 200000 + b"]" * 200000 + b"}",
}


@pytest.mark.parametrize("name", sorted(NOT_JSON))
def test_a_body_that_is_no_json_object(name: str) -> None:
    error = refusal(NOT_JSON[name])
    assert error.field is None
    assert error.message.startswith("The body ")


@pytest.mark.parametrize(
    "body",
    [
        b'\xef\xbb\xbf{"code": "1"}',
        b'\xef\xbb\xbf\n {"code": "1"}\n',
        b'\xef\xbb\xbf{"code": "1", "stdin_data": "%s"}' % (b"x" * 70000),
    ],
)
def test_a_byte_order_mark_is_passed_over(body: bytes) -> None:
    assert parse(body).job.code == "1"


@pytest.mark.parametrize(
    "body, words",
    [
        (b"", 'The body is empty. Send a JSON object, such as {"code": "print(1)"}.'),
        (b" \r\n\t", "The body is empty."),
        (
            b'{"code": "a\nb"}',
            "at line 1, column 12: a raw line break in a string. Write it as \\n, or let a JSON library",
        ),
        (b'{\n"code": "a\tb"}', "at line 2, column 11: a raw tab in a string. Write it as \\t"),
        (b'{"code": "a\rb"}', "a raw carriage return in a string. Write it as \\r"),
        (b'{"code": "a\x1bb"}', "a raw control character in a string. Write it as \\u001b"),
        (b'{"code": "1", "\xe9": 1}', "not valid UTF-8 at byte 15. Encode it as UTF-8 before sending it."),
        ('{"code": "é"}'.encode("utf-16"), "looks like UTF-16. Send plain JSON in UTF-8."),
        ('{"code": "é"}'.encode("utf-16-le"), "looks like UTF-16."),
        ('{"code": "é"}'.encode("utf-16-be"), "looks like UTF-16."),
        ('{"code": "é"}'.encode("utf-32"), "looks like UTF-"),
        ('{"code": "é"}'.encode("utf-32-le"), "looks like UTF-32."),
        (('{"code": "1", "x": %s}' % ("[]," * 50000)).encode("utf-16"), "looks like UTF-16."),
        (gzip.compress(b'{"code": "1"}', mtime=0), "looks like gzip. Send plain JSON in UTF-8."),
    ],
)
def test_a_body_that_is_not_what_it_should_be_is_told_what_to_do(body: bytes, words: str) -> None:
    assert words in refusal(body).message


def test_bytes_that_are_no_utf8_are_told_what_to_do() -> None:
    error = refusal('{"code": "print(\'é\')"}'.encode("latin-1"))
    assert error.field == "code" and error.message.endswith("at character 7. Encode the body as UTF-8.")


@pytest.mark.parametrize(
    "value, words",
    [
        (b"[]", "an array"),
        (b'"x"', "a string"),
        (b"1", "a number"),
        (b"0.5", "a number"),
        (b"true", "a boolean"),
        (b"null", "null"),
    ],
)
def test_the_message_says_what_came_instead_of_an_object(value: bytes, words: str) -> None:
    assert refusal(value).message == "The body must be a JSON object, not %s." % words


@pytest.mark.parametrize(
    "body",
    [
        b'{"code": ' + b"9" * (10 * MIB) + b"}",
        b'{"code": -' + b"9" * (10 * MIB) + b"}",
        b'{"code": 1' + b"0" * (10 * MIB) + b".0}",
        b'{"code": 1e' + b"9" * (10 * MIB) + b"}",
    ],
    ids=["integer", "negative", "fraction", "exponent"],
)
def test_ten_megabytes_of_digits_cost_no_time(body: bytes) -> None:
    started = time.process_time()
    assert refusal(body).message == "The body has more than 64 KiB outside of its strings."
    assert time.process_time() - started < 2


@pytest.mark.parametrize("unit", [b"[],", b"{},", b"1,", b'"",', b" ", b'"\\"",'])
def test_millions_of_small_things_are_refused_before_they_are_parsed(unit: bytes) -> None:
    started = time.process_time()
    body = b'{"code": [' + unit * (20_000_000 // len(unit)) + b"0]}"
    assert refusal(body).message == "The body has more than 64 KiB outside of its strings."
    assert time.process_time() - started < 3


@pytest.mark.parametrize("text", ["\\" * 100_000, '"' * 100_000, '\\"' * 100_000, "[{,:}]" * 50_000, "\n\t ü" * 50_000])
def test_what_stands_in_a_string_is_no_frame(text: str) -> None:
    found = contract.parse(json.dumps({"stdin_data": text, "code": "1"}).encode(), CONFIG)
    assert found.job.stdin == text.encode()


@pytest.mark.parametrize("depth", [1, 10, 100])
def test_what_is_nested_reasonably_is_refused_for_what_it_is(depth: int) -> None:
    assert (
        refusal(b'{"code": ' + b"[" * depth + b"]" * depth + b"}").message == "'code' must be a string, not an array."
    )
    assert refusal(b'{"x": ' * depth + b"1" + b"}" * depth).field == "x"


def test_a_body_of_escapes_takes_little_memory() -> None:
    """A regular expression's matcher would keep 60 times the string's size."""
    body = b'{"code": "1", "stdin_data": "' + b"\\n" * (1 << 20) + b'"}'
    tracemalloc.start()
    try:
        assert contract.parse(body, Config.of()).job.stdin == b"\n" * (1 << 20)
        assert tracemalloc.get_traced_memory()[1] < 10 * len(body)
    finally:
        tracemalloc.stop()


# -- fields -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "field", ["cod", "Code", "code ", "stdin", "attachment", "files", "", "ключ", "é" * 100, "__proto__"]
)
def test_an_unknown_field_is_refused_by_name(field: str) -> None:
    error = refusal({"code": "1", field: None})
    assert error.field == field
    assert "'%s'" % field in error.message
    assert "code, api_key, stdin_data, attachments, return_files" in error.message


@pytest.mark.parametrize(
    "field, meant",
    [
        ("stdin", "stdin_data"),
        ("Code", "code"),
        ("cod", "code"),
        ("returnFiles", "return_files"),
        ("api-key", "api_key"),
    ]
    + [("files", "attachments"), ("attachment", "attachments"), ("values", "value"), ("input", "stdin_data")],
)
def test_a_field_that_was_probably_meant_is_named(field: str, meant: str) -> None:
    assert "Unknown field '%s'. Did you mean '%s'? Known fields: " % (field, meant) in refusal({field: None}).message


@pytest.mark.parametrize("field", ["", "language", "timeout", "__proto__", "x" * 100])
def test_no_field_is_named_that_was_hardly_meant(field: str) -> None:
    assert "Did you mean" not in refusal({field: None}).message


def test_an_unknown_field_is_named_before_a_missing_one() -> None:
    assert refusal({"cdoe": "1"}).field == "cdoe"


def test_a_huge_unknown_name_is_not_repeated_in_full() -> None:
    assert refusal({"code": "1", "x" * MIB: 1}).field == "x" * 100
    assert refusal(attached(**{"x" * MIB: 1})).field == "attachments[0]." + "x" * 100


@pytest.mark.parametrize(
    "body, field",
    [
        (b'{"code": "1", "code": "1"}', "code"),
        (b'{"code": "1", "c\\u006fde": "2"}', "code"),
        (b'{"code": "1", "api_key": null, "api_key": "k"}', "api_key"),
        (b'{"code": "1", "attachments": [{"filename": "a", "filename": "b", "content_base_64": ""}]}', "filename"),
        (b'{"code": "1", "x": {"y": 1, "y": 2}}', "y"),
    ],
)
def test_a_field_that_is_there_twice(body: bytes, field: str) -> None:
    error = refusal(body)
    assert error.field == field
    assert "twice" in error.message


@pytest.mark.parametrize("document", [{}, {"code": None}, {"stdin_data": "x"}, {"code": None, "api_key": "x"}])
def test_code_is_required(document: Dict[str, Any]) -> None:
    error = refusal(document)
    assert (error.field, error.message) == ("code", "The field 'code' is missing.")


def test_code_may_not_be_empty() -> None:
    assert refusal({"code": ""}).field == "code"


OTHER_TYPES = {
    "a boolean": [True, False],
    "a number": [0, 1, -1, 1.5, 10**400],
    "a string": ["", "x"],
    "an array": [[], ["x"], [[]]],
    "an object": [{}, {"code": "x"}],
}


RIGHT_TYPES = {"attachments": "an array", "return_files": "an array", "value": "a boolean", "locals": "a boolean"}


@pytest.mark.parametrize("field", contract.FIELDS)
@pytest.mark.parametrize("words", sorted(OTHER_TYPES))
def test_a_field_of_another_type(field: str, words: str) -> None:
    right = RIGHT_TYPES.get(field, "a string")
    if words == right:
        harmless: Any = {"an array": [], "a boolean": False}.get(right, "x")
        assert parse(dict({"code": "1"}, **{field: harmless})).job.code in ("1", "x")
        return
    for value in OTHER_TYPES[words]:
        error = refusal(dict({"code": "1"}, **{field: value}))
        shown = {"a boolean": "true or false"}.get(right, right)
        assert (error.field, error.message) == (field, "'%s' must be %s, not %s." % (field, shown, words))


@pytest.mark.parametrize("value, words", [(True, "a boolean"), (1, "a number"), ([], "an array"), ({}, "an object")])
def test_an_entry_of_another_type(value: Any, words: str) -> None:
    assert refusal(attached(filename=value)).message == "'attachments[0].filename' must be a string, not %s." % words
    assert refusal(attached(content=value)).field == "attachments[0].content_base_64"
    assert refusal({"code": "1", "return_files": ["a", value]}).field == "return_files[1]"
    if not isinstance(value, dict):
        error = refusal({"code": "1", "attachments": [value]})
        assert (error.field, error.message) == ("attachments[0]", "'attachments[0]' must be an object, not %s." % words)


def test_null_is_no_entry() -> None:
    assert refusal({"code": "1", "return_files": [None]}).field == "return_files[0]"
    assert refusal({"code": "1", "attachments": [None]}).field == "attachments[0]"
    assert refusal({"code": "1", "attachments": ["a.txt"]}).field == "attachments[0]"
    assert refusal(attached(filename=None)).message == "The field 'filename' is missing in 'attachments[0]'."
    assert refusal(attached(content=None)).field == "attachments[0].content_base_64"


TEXTS = {
    "code": lambda text: {"code": text},
    "api_key": lambda text: {"code": "1", "api_key": text},
    "stdin_data": lambda text: {"code": "1", "stdin_data": text},
    "attachments[0].filename": lambda text: attached(filename=text),
    "attachments[0].content_base_64": lambda text: attached(content=text),
    "return_files[1]": lambda text: {"code": "1", "return_files": ["a", text]},
}


@pytest.mark.parametrize("field", sorted(TEXTS))
def test_no_text_may_have_what_is_no_text(field: str) -> None:
    for bad in ("\0", "AAAA\0", "\0AAAA"):
        error = refusal(TEXTS[field](bad))
        assert (error.field, "NUL" in error.message) == (field, True)
    for bad in ("\ud800", "A\udfff", "\udc80A", "\ude00\ud83d"):
        error = refusal(TEXTS[field](bad))
        assert (error.field, "lone surrogate" in error.message) == (field, True)


def invalid(field: str, bad: bytes) -> bytes:
    """Return a body whose text in this field has bytes that are no UTF-8."""
    return json.dumps(TEXTS[field]("@@")).encode("ascii").replace(b"@@", b"a" + bad)


@pytest.mark.parametrize("bad", [b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80"])
def test_invalid_utf8_is_refused(bad: bytes) -> None:
    for field in TEXTS:
        assert "UTF-8" in refusal(invalid(field, bad)).message
    assert "UTF-8" in refusal(b'{"code": "1", "a' + bad + b'": 1}').message
    assert "UTF-8" in refusal(b'{"code": "1"}' + bad).message


def test_invalid_utf8_names_the_field() -> None:
    assert {field: refusal(invalid(field, b"\xff")).field for field in TEXTS} == {field: field for field in TEXTS}


def test_a_name_that_is_no_text_is_shown_harmlessly() -> None:
    assert refusal(b'{"code": "1", "\\ud800": 1}').field == "?"
    assert refusal(b'{"code": "1", "\\ud800": 1, "\\ud800": 1}').field == "?"
    assert refusal(b'{"code": "1", "attachments": [{"\\udfffx": 1}]}').field == "attachments[0].?x"
    assert refusal(b'{"code": "1", "\\u0000": 1}').field == "\0"


def test_stdin_is_bounded_in_bytes() -> None:
    longest = 8 * MIB
    for text in ("x" * longest, "é" * (longest // 2), EMOJI * (longest // 4)):
        assert len(parse({"code": "1", "stdin_data": text}).job.stdin or b"") == longest
        assert refusal({"code": "1", "stdin_data": text + "x"}).field == "stdin_data"


# -- attachments ------------------------------------------------------------------------------------------------------


def test_two_attachments_are_the_most() -> None:
    entries = [{"filename": name, "content_base_64": ""} for name in "abc"]
    assert len(parse({"code": "1", "attachments": entries[:2]}).job.attachments) == 2
    error = refusal({"code": "1", "attachments": entries})
    assert error.field == "attachments"
    assert "2" in error.message and "3" in error.message


def test_no_two_attachments_have_one_name() -> None:
    entries = [{"filename": name, "content_base_64": ""} for name in ("a", "a")]
    assert refusal({"code": "1", "attachments": entries}).field == "attachments[1].filename"


def test_an_attachment_has_two_fields() -> None:
    assert refusal({"code": "1", "attachments": [{}]}).field == "attachments[0].filename"
    assert refusal({"code": "1", "attachments": [{"filename": "a"}]}).field == "attachments[0].content_base_64"
    assert refusal({"code": "1", "attachments": [{"content_base_64": ""}]}).field == "attachments[0].filename"
    assert refusal(attached(content_base64="")).field == "attachments[0].content_base64"  # beside the other
    first = {"filename": "a", "content_base_64": ""}
    assert refusal({"code": "1", "attachments": [first, {"name": "b"}]}).field == "attachments[1].name"


@pytest.mark.parametrize(
    "name",
    ["a", " ", " a ", "...", ".hidden", "..a", "-rf", "~", "*", "'\"", "$(id)", "script.py ", "Script.py", "script.pyc"]
    + [
        "a" * 255,
        "é" * 127 + "x",
        EMOJI * 63 + "xyz",
        "\u202egpj.exe",
        "\u2028",
        "\xa0",
        "e\u0301",
        "json.py",
        "CON",
        "a:b",
    ],
)
def test_a_plain_file_name_is_taken(name: str) -> None:
    assert parse(attached(filename=name)).job.attachments == (Attachment(name, b""),)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "/",
        "\\",
        "a/b",
        "/a",
        "a/",
        "a\\b",
        "..\\a",
        "../a",
        "script.py",
        "a" * 256,
        "é" * 128,
        EMOJI * 64,
    ]
    + ["a\n", "\ta", "\r", "\x1b[2J", "\x1f", "\x7f", "\x80", "\x85", "\x9f"],
)
def test_what_is_no_plain_file_name(name: str) -> None:
    assert refusal(attached(filename=name)).field == "attachments[0].filename"


def test_the_content_may_be_named_as_in_the_answer() -> None:
    for name in ("content_base_64", "content_base64"):
        entry = {"filename": "a", name: "aGk="}
        assert parse({"code": "1", "attachments": [entry]}).job.attachments == (Attachment("a", b"hi"),)
        assert refusal({"code": "1", "attachments": [dict(entry, **{name: "!"})]}).field == "attachments[0]." + name
    both = {"filename": "a", "content_base64": "aGk=", "content_base_64": None}
    assert parse({"code": "1", "attachments": [both]}).job.attachments == (Attachment("a", b"hi"),)
    assert "twice" in refusal(attached(content_base64="")).message
    unknown = refusal({"code": "1", "attachments": [{"filename": "a", "content": "aGk="}]})
    assert unknown.message == (
        "Unknown field 'content' in 'attachments[0]'. Known fields: filename, content_base_64 (or content_base64)."
    )


@pytest.mark.parametrize("content", [b"", b"x", b"xy", b"xyz", b"\0" * 10, bytes(range(256))])
def test_base64_is_decoded(content: bytes) -> None:
    assert parse(attached(content=encoded(content))).job.attachments[0].content == content


@pytest.mark.parametrize(
    "text",
    ["A", "AA", "AAA", "AA=", "AAAAA", "AAAA=", "AAAA==", "AAAA====", "A===", "=", "==", "====", "=AAA", "AA=A"]
    + ["AA==AAAA", "AA=\n", "AAA\n", "\tAAA", "AA-_", "_AAA", "AAA.", "AA*A", "AAA\x7f", "AAAé", "ＡＡＡＡ", "%41AAA"]
    + ["AAA=AAA=", "AAAA\v", "AAAA\xa0", "AA\\nAA", "AAAA\x1f", "data:AAAA", "data:;base64", "data:,AAAA"]
    + ["data:;base64;AAAA", "xdata:;base64,AAAA", "AAAAdata:;base64,AAAA", "data:;base64,data:;base64,AAAA"]
    + ["data:é;base64,AAAA", "data:" + "x" * 1001 + ";base64,AAAA", "data:;base64,A"],
)
def test_base64_is_strict(text: str) -> None:
    assert refusal(attached(content=text)).field == "attachments[0].content_base_64"


@pytest.mark.parametrize(
    "text",
    ["AAAA\n", "AAAA\r\n", "AA A\tA", "\f AAAA", "A\nA\nA\nA\n", "AAAA "]
    + [
        "data:;base64,AAAA",
        "data:image/png;base64,AAAA",
        "DATA:text/plain;charset=utf-8;BASE64,AAAA",
        "data:; base64;base64,AAAA",
    ]
    + ["\n data:;base64,\nAA\nAA"],
)
def test_what_is_forgiven_in_base64(text: str) -> None:
    assert parse(attached(content=text)).job.attachments[0].content == b"\0\0\0"
    if "AAAA" in text:
        assert parse(attached(content=text.replace("AAAA", "QQ=\n="))).job.attachments[0].content == b"A"


def test_the_url_safe_alphabet_is_named() -> None:
    assert "use '+' and '/'" in refusal(attached(content="AA-_")).message


def reference(text: str) -> Optional[bytes]:
    """Decode by the rule's own words, bit by bit; None for what is refused."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    text = text.lstrip("\t\n\f\r ")
    if text[:5].lower() == "data:":
        declared, comma, rest = text.partition(",")
        if not comma or declared[-7:].lower() != ";base64" or len(declared) < 12:
            return None
        if any(not " " <= character <= "~" for character in declared):  # white space may only be in the Base64
            return None
        text = rest
    text = "".join(character for character in text if character not in "\t\n\f\r ")
    bare = text.rstrip("=")
    if len(text) % 4 or len(text) - len(bare) > 2 or any(character not in alphabet for character in bare):
        return None
    bits = "".join(format(alphabet.index(character), "06b") for character in bare)
    return bytes(int(bits[place : place + 8], 2) for place in range(0, len(bits) - 7, 8))


_PIECES = st.lists(
    st.sampled_from(
        ["A", "b", "9", "+", "/", "=", "==", " ", "\n", "\r\n", "\t", "-", "_", ",", "data:", ";base64,", ";"]
    )
    | st.binary(max_size=9).map(lambda content: base64.b64encode(content).decode())
    | st.binary(max_size=60).map(lambda content: base64.encodebytes(content).decode()),
    max_size=8,
)


@settings(FUZZ, max_examples=3000)
@given(_PIECES, st.sampled_from(["content_base_64", "content_base64"]), st.booleans())
def test_any_base64_is_what_the_reference_reads(pieces: List[str], name: str, long: bool) -> None:
    # Long contents are kept from the parser of JSON, unless they have an escape, and read in another way.
    text = "".join(pieces) + "AAAA" * 20000 if long and "=" not in "".join(pieces) else "".join(pieces)
    document = {"code": "1", "attachments": [{"filename": "a", name: text}]}
    expected = reference(text)
    if expected is None:
        assert refusal(document).field == "attachments[0]." + name
    else:
        assert parse(document).job.attachments[0].content == expected


def test_base64_is_what_its_grammar_says() -> None:
    grammar = re.compile(r"(?:[A-Z]{4})*(?:[A-Z]{2}==|[A-Z]{3}=)?\Z")
    for length in range(9):
        for characters in itertools.product("A=*", repeat=length):
            text = "".join(characters)
            try:
                content = parse(attached(content=text)).job.attachments[0].content
            except errors.ValidationError:
                assert not grammar.match(text), text
            else:
                assert grammar.match(text), text
                assert encoded(content) == text


LARGE = encoded(bytes(range(256)) * 400)  # long enough to be kept from the parser of JSON


@pytest.mark.parametrize("spacing", ["%s:%s", "%s :\n\t %s", "%s:" + 200 * " " + "%s"])
@pytest.mark.parametrize("key", ['"content_base_64"', '"content\\u005fbase_64"'])
def test_a_large_content_arrives_however_it_is_spelled(key: str, spacing: str) -> None:
    first = spacing % (key, '"%s"' % LARGE)
    second = spacing % (key, '"%s"' % LARGE[::-1].lstrip("=").rjust(len(LARGE), "A")[:-4].replace("+", "\\u002b"))
    body = '{"attachments": [{"filename": "a", %s}, {%s, "filename": "b"}], "code": "é"}' % (first, second)
    files = parse(body.encode()).job.attachments
    assert [file.filename for file in files] == ["a", "b"]
    assert [file.content for file in files] == [
        base64.b64decode(entry["content_base_64"]) for entry in json.loads(body)["attachments"]
    ]


@pytest.mark.parametrize("name", ["content_base_64", "content_base64"])
@pytest.mark.parametrize(
    "flaw, words",
    [
        ("\n", "a raw line break in a string. Write it as \\n"),
        ("\0", "a raw control character in a string. Write it as \\u0000"),
        ("\x1f", "a raw control character in a string. Write it as \\u001f"),
        ("é", "a character outside the alphabet"),
        (" ", "its length is not a multiple of four"),
        ("=", "its padding is in the wrong place"),
        ("-", "'-' or '_' of the URL-safe alphabet"),
        ("\ud800", "a character outside the alphabet"),
    ],
)
def test_a_flaw_in_a_large_content_is_found(flaw: str, words: str, name: str) -> None:
    content = LARGE[:70000] + flaw + LARGE[70000 + 1 :]
    body = '{"code": "1", "attachments": [{"filename": "a", "%s": "%s"}]}' % (name, content)
    error = refusal(body.encode("utf-8", "surrogatepass"))
    assert error.field == "attachments[0]." + name
    assert words in error.message


@pytest.mark.parametrize("white", [" ", "\\n", "\\r\\n", "\\t", "\\u000a"])
@pytest.mark.parametrize("prefix", ["", "data:image/png;base64,"])
def test_a_large_content_may_be_wrapped(white: str, prefix: str) -> None:
    content = prefix + white.join(LARGE[place : place + 76] for place in range(0, len(LARGE), 76)) + white
    body = '{"code": "1", "attachments": [{"filename": "a", "content_base64": "%s"}]}' % content
    assert parse(body.encode()).job.attachments[0].content == base64.b64decode(LARGE)


def test_eight_megabytes_of_wrapped_lines_cost_little() -> None:
    # With the mark that some tools put before it; both once took a copy for each of them, or would take one a line.
    body = b"\xef\xbb\xbf" + json.dumps(attached(content=base64.encodebytes(bytes(8 * MIB)).decode())).encode()
    started = time.process_time()
    assert len(parse(body).job.attachments[0].content) == 8 * MIB
    assert time.process_time() - started < 2


def test_the_byte_that_is_no_utf8_is_named_behind_a_large_content_too() -> None:
    body = b'{"attachments": [{"filename": "a", "content_base_64": "%s"}], "\xff": 1}' % LARGE.encode()
    place = body.index(b"\xff")
    for mark in (b"", b"\xef\xbb\xbf"):
        message = "The body is not valid UTF-8 at byte %d. Encode it as UTF-8 before sending it." % (len(mark) + place)
        assert refusal(mark + body).message == message


def test_the_place_of_a_fault_behind_large_contents_is_that_of_the_body() -> None:
    entry = '{"filename": "a", "content_base_64": "%s"}' % LARGE
    body = '{"attachments": [%s, %s], "code": "a\nb"}' % (entry, entry)
    assert "at character %d: a raw line break" % body.index("\n") in refusal(body.encode()).message


@pytest.mark.parametrize("quotes", [0, 1, 999, 1000, 1001, 5000])
@pytest.mark.parametrize("before", [1, 2, 3, 4])
def test_a_string_with_escaped_quotes_ends_where_it_ends(quotes: int, before: int) -> None:
    text = ("\\" * before + '"') * quotes + "\\" * before
    body = json.dumps({"stdin_data": text, "code": "x" + text[:100]})
    body += " " * (65536 - len('{"": "", "": ""}'))  # as much outside of strings as there may be
    assert parse(body.encode()).job.stdin == text.encode()
    assert "outside of its strings" in refusal(body.encode() + b" ").message


@pytest.mark.parametrize(
    "body, field",
    [
        ('{"code": "1", "content_base_64": "%s"}', "content_base_64"),
        ('{"code": {"content_base_64": "%s"}}', "code"),
        ('{"code": "1", "stdin_data": ["content_base_64", "%s"]}', "stdin_data"),
        ('{"code": "1", "attachments": [{"content_base_64": "%s", "content_base_64": ""}]}', "content_base_64"),
        ('{"code": "1", "attachments": [{"content_base_64": "%s"}]}', "attachments[0].filename"),
        ('{"code": "\\"content_base_64\\":", "attachments": "%s"}', "attachments"),
        ('{"code": "1", "attachments": [{"content_base_64": "%s"', None),
        ('{"code": "1", "attachments": [{"content_base_64": "%s', None),
    ],
)
def test_a_large_content_in_another_place_is_refused_as_a_small_one(body: str, field: Optional[str]) -> None:
    assert refusal((body % LARGE).encode()).field == field
    assert refusal((body % "QQ==").encode()).field == field


def test_an_attachment_is_bounded_after_decoding() -> None:
    longest = 8 * MIB
    for size in (longest - 1, longest):
        assert len(parse(attached(content=encoded(bytes(size)))).job.attachments[0].content) == size
    for size in (longest + 1, longest + 2, longest + 3, 2 * longest):
        error = refusal(attached(content=encoded(bytes(size))))
        assert (error.field, "at most 8 MiB after" in error.message) == ("attachments[0].content_base_64", True)


# -- files to return --------------------------------------------------------------------------------------------------


def test_ten_files_are_the_most_to_return() -> None:
    names = [str(number) for number in range(11)]
    assert parse({"code": "1", "return_files": names[:10]}).job.return_files == tuple(names[:10])
    assert refusal({"code": "1", "return_files": names}).field == "return_files"


@pytest.mark.parametrize(
    "name",
    ["a", "a/b", "./a", "a//b", "a/", ".", "...", "..a", "a..", "a/..b", "~/a", "a\\..\\b", "script.py", " ", "a\nb"]
    + ["a" * 4095, "é" * 2047 + "x"],
)
def test_a_relative_path_is_taken(name: str) -> None:
    assert parse({"code": "1", "return_files": [name]}).job.return_files == (name,)


@pytest.mark.parametrize(
    "name", ["", "/", "/a", "//a", "..", "../a", "a/..", "a/../b", "./..", "a/b/../../..", "a" * 4096, "é" * 2048]
)
def test_what_is_no_relative_path(name: str) -> None:
    assert refusal({"code": "1", "return_files": ["ok", name]}).field == "return_files[1]"


def test_an_absolute_path_to_return_is_answered_with_what_to_write_instead() -> None:
    for path, name in (("/mnt/data/x.png", "x.png"), ("/mnt/data/out/x.png", "out/x.png"), ("/tmp/out/x.png", "x.png")):
        assert "write '%s', by name alone" % name in refusal({"code": "1", "return_files": [path]}).message
    for path in ("/tmp/", "/" + "a" * 101, "/a\nb"):
        assert refusal({"code": "1", "return_files": [path]}).message.endswith("must be a relative path.")
