"""Whatever bytes come: a well-formed answer of ours or a closed connection, and a server that goes on.

First the pure parsers with many examples, then the same over a socket. The examples are the same in every run.
"""

from __future__ import annotations

import json
from typing import Any, Dict, List

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from servers import RunningServer
from support import (
    FUZZ,
    STATUS_OF,
    Reply,
    check_alive,
    check_reply,
    check_timestamp,
    exchange,
    execute,
    parse_reply,
    request,
)

from pyexec.api import request as contract
from pyexec.config import Config
from pyexec.errors import PyexecError, ValidationError
from pyexec.http1 import message

CONFIG = Config.of()


@pytest.fixture(scope="module", autouse=True)
def survivor(server: RunningServer) -> Any:
    """After all of it the server is the one that was there before, and could run something."""
    before = server.client.health()["template_restarts"]
    yield
    check_alive(server.port)
    assert server.client.health()["template_restarts"] == before
    assert server.client.execute("print(6*7)").stdout == "42\n"
    assert "fault" not in server.log


# -- what comes in ----------------------------------------------------------------------------------------------------

VALID = [
    request("GET", "/health"),
    request("HEAD", "/", fields=[("Connection", "close")]),
    request("OPTIONS", "/execute", fields=[("Origin", "https://a.example")]),
    request("GET", "/nothing?a=b", b"abc", [("X-Forwarded-For", "198.51.100.1, 10.0.0.1")]),
    request("POST", "/execute", b"16\r\n{}", [("Content-Type", "application/json"), ("Transfer-Encoding", "chunked")]),
    execute({"code": "print(1)"}),
    execute({"code": "print(input())", "stdin_data": "é\n", "return_files": ["a", "b/c"]}, ("Expect", "100-continue")),
    execute(
        {"code": "1", "attachments": [{"filename": "ä", "content_base_64": "AAA="}]}, ("Authorization", "Bearer k")
    ),
    execute({"code": "import os", "api_key": "k"}) + request("GET", "/health"),
]
# Pieces that mean something to one of the parsers.
PIECES = (
    [b"", b"\0", b"\r", b"\n", b"\r\n", b"\r\n\r\n", b" ", b"\t", b":", b",", b";", b"/", b"?", b"://", b"%00", b"\xff"]
    + [b"\xc3\xa9", b"HTTP/1.1", b"HTTP/1.0", b"GET", b"HEAD", b"POST", b"/execute", b"/health", b"x" * 9000, b"0"]
    + [
        b"Content-Length: 0\r\n",
        b"9" * 30,
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: keep-alive\r\n",
        b"Host: y\r\n",
    ]
    + [
        b" folded\r\n",
        b'"',
        b"\\",
        b"\\u0000",
        b"\\ud800",
        b"{",
        b"}",
        b"[",
        b"]",
        b"[" * 5000,
        b"null",
        b"NaN",
        b"1e999",
    ]
    + [b'"code"', b"AA==", b".."]
)


@st.composite
def mutated(draw: Any, originals: List[bytes]) -> bytes:
    """Return one of these with up to four places cut out, put in, doubled or changed."""
    raw = draw(st.sampled_from(originals))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(raw)))
        end = min(len(raw), start + draw(st.integers(0, 12)))
        kind = draw(st.sampled_from(["cut", "put", "replace", "double", "swap", "end"]))
        piece = draw(st.one_of(st.sampled_from(PIECES), st.binary(max_size=4)))
        if kind == "cut":
            raw = raw[:start] + raw[end:]
        elif kind == "put":
            raw = raw[:start] + piece + raw[start:]
        elif kind == "replace":
            raw = raw[:start] + piece + raw[end:]
        elif kind == "double":
            raw = raw[:end] + raw[start:]
        elif kind == "swap":
            raw = raw[:start] + raw[start:end][::-1] + raw[end:]
        else:
            raw = raw[:start]
    return bytes(raw)


any_bytes = st.one_of(
    st.binary(max_size=300),
    st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=8)), max_size=20).map(b"".join),
    st.binary(max_size=200).map(lambda raw: raw + b"\r\n\r\n"),
    st.binary(max_size=100).map(lambda raw: b"GET /health HTTP/1.1\r\nHost: x\r\n" + raw + b"\r\n\r\n"),
    st.binary(max_size=100).map(lambda raw: b"GET /" + raw + b" HTTP/1.1\r\nHost: x\r\n\r\n"),
)

texts = st.one_of(
    st.text(max_size=20),
    st.text(alphabet=st.characters(), max_size=5),  # surrogates too
    st.sampled_from(
        ["", "x", "..", "/", "a/b", "script.py", "AA==", "AAAA\n", "\0", "\ud800", "print(1)", "import os", "(" * 300]
    ),
)
scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), texts)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=12),
        st.dictionaries(st.one_of(st.sampled_from(["filename", "content_base_64", "code"]), texts), inner, max_size=4),
        st.fixed_dictionaries({"filename": inner, "content_base_64": inner}),
    ),
    max_leaves=12,
)
requests = st.one_of(
    values,
    st.fixed_dictionaries(
        {"code": st.one_of(st.just("print(1)"), values)},
        optional={"api_key": values, "stdin_data": values, "attachments": values, "return_files": values},
    ),
    st.fixed_dictionaries(
        {
            "code": st.sampled_from(
                ["1", "x", "print(1)", "import os", "\ufeff1", "\t1", "1\\", "'''", "é = 1; print(é)"]
            )
        },
        optional={
            "stdin_data": texts,
            "return_files": st.lists(texts, max_size=3),
            "attachments": st.lists(
                st.fixed_dictionaries({"filename": texts, "content_base_64": st.just("AA==")}), max_size=2
            ),
        },
    ),
)


# -- the parsers alone ------------------------------------------------------------------------------------------------


@settings(FUZZ, max_examples=1000)
@given(raw=st.one_of(any_bytes, mutated(VALID)))
def test_a_head_is_parsed_or_refused(raw: bytes) -> None:
    text = raw.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    try:
        head = message.parse_head(text)
        length = head.body_length
    except PyexecError as error:
        assert error.type in ("ValidationError", "HeadersTooLarge", "LengthRequired")
        return
    assert length is None or 0 <= length < 10**18
    assert all(33 <= ord(character) <= 126 for character in head.method + head.path)
    assert "?" not in head.path
    for name, value in head.fields.items():
        assert name == name.lower() and name.isascii() and " " not in name
        assert not set(value) & set("\r\n\0")
    assert isinstance(head.keep_alive, bool) and isinstance(head.expects_continue, bool)


def check_parsed(document: Any, found: contract.Request) -> None:
    """Check that an accepted request says what the document says, and keeps the rules."""
    assert set(document) <= set(contract.FIELDS)
    assert (found.job.code, found.api_key, found.job.admin) == (document["code"], document.get("api_key"), False)
    assert 1 <= len(found.job.code) <= 2000
    stdin = document.get("stdin_data")
    assert found.job.stdin == (None if stdin is None else stdin.encode("utf-8"))
    entries = document.get("attachments") or []
    assert [item.filename for item in found.job.attachments] == [entry["filename"] for entry in entries]
    assert list(found.job.return_files) == list(dict.fromkeys(document.get("return_files") or []))
    for name in [item.filename for item in found.job.attachments]:
        assert (
            1 <= len(name.encode("utf-8")) <= 255
            and not set(name) & set("/\\\0")
            and name not in (".", "..", "script.py")
        )
    for name in found.job.return_files:
        assert not name.startswith("/") and ".." not in name.split("/") and "\0" not in name


@settings(FUZZ, max_examples=500)
@given(document=requests)
def test_any_json_is_a_request_or_a_validation_error(document: Any) -> None:
    body = json.dumps(document).encode("ascii")
    try:
        found = contract.parse(body, CONFIG)
    except ValidationError as error:
        assert error.field is None or isinstance(error.field, str)
        error.message.encode("utf-8")
        return
    check_parsed(document, found)


@settings(FUZZ, max_examples=600)
@given(body=st.one_of(st.binary(max_size=60), mutated([raw.partition(b"\r\n\r\n")[2] for raw in VALID[5:8]])))
def test_any_body_is_a_request_or_a_validation_error(body: bytes) -> None:
    try:
        found = contract.parse(body, CONFIG)
    except ValidationError as error:
        error.message.encode("utf-8")
        return
    check_parsed(json.loads(body.decode("utf-8")), found)


# -- over a socket ----------------------------------------------------------------------------------------------------


def check_answers(data: bytes, sent: bytes) -> List[Reply]:
    """Check that these bytes are nothing but answers of ours, and none of them our fault."""
    replies = []
    while data:
        # A head alone is an answer to HEAD, which any mutation may have made out of the request.
        head_only = b"HEAD" in sent and not data.partition(b"\r\n\r\n")[2].startswith((b"{", b"<"))
        reply, data = parse_reply(data, head_only)
        if reply.status == 100:
            assert b"100" in sent
            continue
        check_reply(reply)
        assert reply.status in (200, 204) or reply.status in STATUS_OF.values()
        assert reply.status < 500, reply.body
        replies.append(reply)
    return replies


@settings(FUZZ, max_examples=500)
@given(raw=any_bytes)
def test_any_bytes_as_a_request(server: RunningServer, raw: bytes) -> None:
    check_answers(exchange(server.port, raw), raw)


@settings(FUZZ, max_examples=500)
@given(raw=mutated(VALID))
def test_any_change_of_a_valid_request(server: RunningServer, raw: bytes) -> None:
    check_answers(exchange(server.port, raw), raw)


@settings(FUZZ, max_examples=200)
@given(raw=mutated(VALID), cuts=st.lists(st.integers(0, 400), min_size=1, max_size=6))
def test_any_division_into_packets(server: RunningServer, raw: bytes, cuts: List[int]) -> None:
    places = [0] + sorted(cuts) + [len(raw)]
    pieces = [raw[start:end] for start, end in zip(places, places[1:])]
    whole = check_answers(exchange(server.port, raw), raw)
    divided = check_answers(exchange(server.port, *pieces), raw)
    assert [(reply.status, reply.error_type) for reply in divided] == [
        (reply.status, reply.error_type) for reply in whole
    ]


@settings(FUZZ, max_examples=300)
@given(body=st.one_of(st.binary(max_size=200), mutated([b'{"code": "print(1)", "stdin_data": "x"}'])))
def test_any_bytes_as_a_body(server: RunningServer, body: bytes) -> None:
    (reply,) = check_answers(exchange(server.port, execute(body)), b"")
    assert reply.status in (200, 400)


def check_success(document: Dict[str, Any]) -> None:
    assert set(document) == set(
        "status timestamp_utc user_info server_status request_context execution_details".split()
    )
    assert document["status"] == "success"
    check_timestamp(document["timestamp_utc"])
    details = document["execution_details"]
    assert isinstance(details["stdout"], str) and isinstance(details["stderr"], str)
    assert details["success"] == (details["exit_code"] == 0)
    for entry in details["output_files"].values():
        assert set(entry) in ({"content_base64", "size_bytes"}, {"error"}, {"error", "size_bytes"})


@settings(FUZZ, max_examples=300)
@given(document=requests)
def test_any_json_as_a_body(server: RunningServer, document: Any) -> None:
    (reply,) = check_answers(exchange(server.port, execute(document)), b"")
    assert reply.status in (200, 400, 401)
    if reply.status == 200:
        check_success(reply.document)


@settings(FUZZ, max_examples=150)
@given(
    code=st.one_of(
        st.text(min_size=1, max_size=60), st.text(alphabet="()[]{}'\"\\\n\t :=+,.0xé#@", min_size=1, max_size=40)
    )
)
def test_any_text_as_code(server: RunningServer, code: str) -> None:
    (reply,) = check_answers(exchange(server.port, execute({"code": code})), b"")
    if "\0" in code:
        assert reply.status == 400
    elif reply.error_type is None:
        check_success(reply.document)
        assert reply.document["request_context"]["code_length"] == len(code)
