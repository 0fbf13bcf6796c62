"""POST /mcp, message by message: both eras of the protocol on one path, its error codes and statuses, batches."""

from __future__ import annotations

import base64
import json
from typing import Any, Dict, List

import pytest
import rpc
from hypothesis import given, settings
from hypothesis import strategies as st
from rpc import LEGACY, META, MODERN, ask_legacy, ask_modern, call, header, legacy, modern, post, texts
from servers import RunningServer
from support import FUZZ, check_alive, in_threads

import pyexec
from pyexec.api.mcp import jsonrpc, methods, revisions
from pyexec.api.mcp.jsonrpc import RpcError
from pyexec.api.mcp.tool import Server
from pyexec.config import Config

NAME = "execute_python"
SERVER = {"name": "pyexec", "title": "pyexec", "version": pyexec.__version__}


def error_of(reply: Any) -> Dict[str, Any]:
    document = reply.document
    assert set(document) == {"jsonrpc", "id", "error"} and document["jsonrpc"] == "2.0"
    return document["error"]


def result_of(reply: Any, id: Any = 1) -> Dict[str, Any]:
    document = reply.document
    assert reply.status == 200 and reply.fields["content-type"] == "application/json; charset=utf-8"
    assert (document["jsonrpc"], document["id"], set(document)) == ("2.0", id, {"jsonrpc", "id", "result"})
    return document["result"]


# -- 2026-07-28 -------------------------------------------------------------------------------------------------------


def test_discover_names_what_is_served(server: RunningServer) -> None:
    result = result_of(ask_modern(server.port, "server/discover"))
    assert result["supportedVersions"][0] == MODERN and LEGACY in result["supportedVersions"]
    assert result["capabilities"] == {"tools": {}} and NAME in result["instructions"]
    assert (result["resultType"], result["cacheScope"]) == ("complete", "private") and result["ttlMs"] >= 0
    assert result["_meta"]["io.modelcontextprotocol/serverInfo"] == SERVER


def test_the_tool_is_listed_and_called(server: RunningServer) -> None:
    result = result_of(ask_modern(server.port, "tools/list"))
    assert [tool["name"] for tool in result["tools"]] == [NAME]
    assert result["resultType"] == "complete" and {"ttlMs", "cacheScope", "_meta"} <= set(result)
    result = result_of(ask_modern(server.port, "tools/call", call()))
    assert result["content"] == [{"type": "text", "text": "42"}] and result["isError"] is False
    assert result["resultType"] == "complete" and "structuredContent" not in result and "ttlMs" not in result


def test_the_client_need_not_say_who_it_is(server: RunningServer) -> None:
    meta = {key: value for key, value in META.items() if not key.endswith("clientInfo")}
    message = legacy("tools/list", {"_meta": meta})
    assert "tools" in result_of(post(server.port, message, *header(message)))


@pytest.mark.parametrize("missing", ["protocolVersion", "clientCapabilities", "_meta", "params"])
def test_what_a_request_must_say_of_itself(server: RunningServer, missing: str) -> None:
    meta = {key: value for key, value in META.items() if not key.endswith("/" + missing)}
    message = legacy("tools/list", {} if missing == "_meta" else None if missing == "params" else {"_meta": meta})
    reply = post(server.port, message, *header(message))
    assert (reply.status, error_of(reply)["code"], reply.document["id"]) == (400, -32602, 1)


@pytest.mark.parametrize(
    "change",
    [
        {"MCP-Protocol-Version": None},
        {"MCP-Protocol-Version": LEGACY},
        {"Mcp-Method": None},
        {"Mcp-Method": "tools/list"},
        {"Mcp-Method": "TOOLS/CALL"},
        {"Mcp-Name": None},
        {"Mcp-Name": "other"},
        {"Mcp-Name": "Execute_Python"},
        {"Mcp-Name": "=?base64?ZXhlY3V0ZV9weXRob24?="},
        {"Mcp-Name": "=?base64?!?="},
    ],
    ids=str,
)
def test_the_header_must_agree_with_the_body(server: RunningServer, change: Dict[str, Any]) -> None:
    message = modern("tools/call", call())
    fields = dict(header(message), **change)
    reply = post(server.port, message, *[(name, value) for name, value in fields.items() if value is not None])
    assert (reply.status, error_of(reply)["code"], reply.document["id"]) == (400, -32020, 1)
    assert list(change)[0] in error_of(reply)["message"]


def test_names_of_fields_have_no_case_and_values_may_be_encoded(server: RunningServer) -> None:
    message = modern("tools/call", call())
    encoded = "=?base64?%s?=" % base64.b64encode(NAME.encode()).decode()
    fields = [("mcp-protocol-version", MODERN), ("MCP-METHOD", "  tools/call  "), ("mCP-nAME", encoded)]
    assert texts(result_of(post(server.port, message, *fields))) == ["42"]


@pytest.mark.parametrize("version", ["2027-01-01", "1900-01-01", "x", ""])
def test_a_revision_that_is_not_served_is_refused_with_those_that_are(server: RunningServer, version: str) -> None:
    meta = dict(META, **{"io.modelcontextprotocol/protocolVersion": version})
    message = legacy("tools/list", {"_meta": meta})
    reply = post(server.port, message, ("Mcp-Method", "tools/list"), ("MCP-Protocol-Version", version))
    error = error_of(reply)
    assert (reply.status, error["code"], error["data"]["requested"]) == (400, -32022, version)
    assert error["data"]["supported"][:2] == [MODERN, LEGACY]


@pytest.mark.parametrize(
    "method", ["initialize", "ping", "logging/setLevel", "resources/list", "subscriptions/listen", "x", "\U0001f40d"]
)
def test_methods_that_are_gone_or_never_were(server: RunningServer, method: str) -> None:
    message = modern(method)
    name = "=?base64?%s?=" % base64.b64encode(method.encode()).decode()
    reply = post(server.port, message, ("Mcp-Method", name if not method.isascii() else method), *header(message)[1:])
    if method.isascii():
        assert (reply.status, error_of(reply)["code"], reply.document["id"]) == (404, -32601, 1)
    else:  # only names of tools may be encoded, and no method needs it
        assert (reply.status, error_of(reply)["code"]) == (400, -32020)


@pytest.mark.parametrize(
    "params, code",
    [
        ({"name": "other"}, -32602),
        ({"name": 1}, -32602),
        ({}, -32602),
        ({"name": NAME, "arguments": []}, -32602),
        ({"name": NAME, "arguments": "print(1)"}, -32602),
    ],
)
def test_a_call_that_is_none_is_an_error_in_both_eras(server: RunningServer, params: Any, code: int) -> None:
    message = modern("tools/call", params)
    fields = [(name, str(value)) for name, value in header(message)]
    reply = post(server.port, message, *fields)
    wanted = -32020 if params.get("name") == 1 else code  # no header can say a number
    assert (reply.status, error_of(reply)["code"]) == (400, wanted)
    reply = ask_legacy(server.port, "tools/call", params)
    assert (reply.status, error_of(reply)["code"]) == (200, code)


# -- until 2025-11-25 -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", [LEGACY, "2025-06-18", "2025-03-26", "2024-11-05", "2026-07-28", "1999-01-01"])
def test_a_client_that_begins_with_initialize(server: RunningServer, asked: str) -> None:
    params = {"protocolVersion": asked, "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    reply = post(server.port, legacy("initialize", params))
    result = result_of(reply)
    assert result["protocolVersion"] == (asked if asked[:4] < "2026" and asked > "2000" else LEGACY)
    assert (result["capabilities"], result["serverInfo"]) == ({"tools": {}}, SERVER)
    assert "mcp-session-id" not in reply.fields and "resultType" not in result
    version = ("MCP-Protocol-Version", result["protocolVersion"])
    done = post(server.port, {"jsonrpc": "2.0", "method": "notifications/initialized"}, version)
    assert (done.status, done.body) == (202, b"")
    assert [tool["name"] for tool in result_of(post(server.port, legacy("tools/list"), version))["tools"]] == [NAME]
    result = result_of(post(server.port, legacy("tools/call", call()), version))
    assert result == {"content": [{"type": "text", "text": "42"}], "isError": False}
    assert result_of(post(server.port, legacy("ping"), version)) == {}


def test_a_client_that_has_discovered_us_may_still_initialize(server: RunningServer) -> None:
    """As Claude Code does: with the newest revision in its header."""
    params = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    reply = post(server.port, legacy("initialize", params), ("MCP-Protocol-Version", MODERN))
    assert result_of(reply)["protocolVersion"] == LEGACY


def test_without_a_revision_a_request_is_of_2025_03_26(server: RunningServer) -> None:
    assert result_of(post(server.port, legacy("tools/call", call())))["isError"] is False


@pytest.mark.parametrize("version", ["2027-01-01", "x", "2025-11-25, 2025-11-25"])
def test_an_unknown_revision_in_the_header_is_a_400(server: RunningServer, version: str) -> None:
    reply = post(server.port, legacy("tools/list"), ("MCP-Protocol-Version", version))
    assert (reply.status, error_of(reply)["code"]) == (400, -32022)


def test_errors_of_the_older_revisions_are_in_the_body_of_a_200(server: RunningServer) -> None:
    for method, params, code in (
        ("server/discover", {}, -32601),
        ("nothing", {}, -32601),
        ("initialize", {}, -32602),
        ("tools/list", {"cursor": "x"}, -32602),
    ):
        reply = ask_legacy(server.port, method, params)
        assert (reply.status, error_of(reply)["code"], reply.document["id"]) == (200, code, 1)


# -- what both have in common -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("id", [1, 0, -7, 2**53, 10**30, "", "a", "\U0001f40d", 'quote" \\ \n'])
def test_an_answer_has_the_id_of_its_request(server: RunningServer, id: Any) -> None:
    message = modern("tools/list", id=id)
    assert result_of(post(server.port, message, *header(message)), id)["tools"]


@pytest.mark.parametrize(
    "body, code",
    [
        (b"{", -32700),
        (b"", -32700),
        (b"\xff\xfe{", -32700),
        (b'{"jsonrpc": "2.0", "id": 1, "id": 1, "method": "ping"}', -32700),
        (b"[" * 100000, -32700),
        (b"1", -32600),
        (b"null", -32600),
        (b'"ping"', -32600),
        (b"{}", -32600),
        (b'{"id": 1, "method": "ping"}', -32600),
        (b'{"jsonrpc": "1.0", "id": 1, "method": "ping"}', -32600),
        (b'{"jsonrpc": 2.0, "id": 1, "method": "ping"}', -32600),
        (b'{"jsonrpc": "2.0", "id": null, "method": "ping"}', -32600),
        (b'{"jsonrpc": "2.0", "id": 1.5, "method": "ping"}', -32600),
        (b'{"jsonrpc": "2.0", "id": 1e3, "method": "ping"}', -32600),
        (b'{"jsonrpc": "2.0", "id": true, "method": "ping"}', -32600),
        (b'{"jsonrpc": "2.0", "id": [1], "method": "ping"}', -32600),
        (b'{"jsonrpc": "2.0", "id": "\\ud800", "method": "ping"}', -32600),
        (b'{"jsonrpc": "2.0", "id": ' + b"1" * 5000 + b', "method": "ping"}', -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "method": 7}', -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": []}', -32602),
        (b'{"jsonrpc": "2.0", "id": 1, "result": {}}', -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "error": {"code": 1, "message": "x"}}', -32600),
    ],
    ids=lambda value: repr(value)[:60],
)
@pytest.mark.parametrize("version", [MODERN, LEGACY])
def test_what_is_no_message_is_a_400(server: RunningServer, body: bytes, code: int, version: str) -> None:
    reply = post(server.port, body, ("MCP-Protocol-Version", version), ("Mcp-Method", "ping"))
    error = error_of(reply)
    assert (reply.status, error["code"]) == (400, code) and error["message"].endswith(".")


@pytest.mark.parametrize("version", [MODERN, LEGACY, "2024-11-05", None])
@pytest.mark.parametrize("method", ["notifications/cancelled", "notifications/initialized", "x"])
def test_notifications_are_taken_and_not_answered(server: RunningServer, version: Any, method: str) -> None:
    fields = [("MCP-Protocol-Version", version)] if version else []
    reply = post(server.port, {"jsonrpc": "2.0", "method": method, "params": {"requestId": 1}}, *fields)
    assert (reply.status, reply.body) == (202, b"")


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "HEAD"])
def test_there_is_nothing_but_post(server: RunningServer, method: str) -> None:
    raw = rpc.request(method, "/mcp", None, [("Accept", "text/event-stream")])
    reply = rpc.ask(server.port, raw, method)
    assert (reply.status, reply.fields["allow"]) == (405, "POST, OPTIONS")


# -- batches ----------------------------------------------------------------------------------------------------------


def test_only_2025_03_26_has_batches(server: RunningServer) -> None:
    batch = [legacy("ping", id=1), legacy("ping", id=2)]
    for version in (MODERN, LEGACY, "2025-06-18", "2024-11-05"):
        reply = post(server.port, batch, ("MCP-Protocol-Version", version))
        assert (reply.status, error_of(reply)["code"], reply.document["id"]) == (400, -32600, None)
    for fields in ([], [("MCP-Protocol-Version", "2025-03-26")]):
        reply = post(server.port, batch, *fields)
        assert reply.status == 200
        assert json.loads(reply.body) == [{"jsonrpc": "2.0", "id": id, "result": {}} for id in (1, 2)]


def test_a_batch_runs_scripts_and_answers_everything_but_notifications(server: RunningServer) -> None:
    note = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    calls = [legacy("tools/call", call("print(%d)" % n), id="c%d" % n) for n in range(7)]
    answers = json.loads(post(server.port, [note, *calls, 1, legacy("x", id=9)]).body)
    assert [answer["result"]["content"][0]["text"] for answer in answers[:7]] == [str(n) for n in range(7)]
    assert [(answer["id"], answer["error"]["code"]) for answer in answers[7:]] == [(None, -32600), (9, -32601)]
    only_notes = post(server.port, [note, note])
    assert (only_notes.status, only_notes.body) == (202, b"")
    check_alive(server.port)


@pytest.mark.parametrize("count", [0, 21])
def test_a_batch_has_a_size(server: RunningServer, count: int) -> None:
    reply = post(server.port, [legacy("ping", id=n) for n in range(count)])
    assert (reply.status, error_of(reply)["code"]) == (400, -32600)


# -- anything at all --------------------------------------------------------------------------------------------------

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_METHODS = ["tools/list", "server/discover", "initialize", "ping", "tools/call", "x"]
_MESSAGES = st.fixed_dictionaries(
    {},
    optional={
        "jsonrpc": st.just("2.0") | _JSON,
        "id": st.integers() | _JSON,
        "method": st.sampled_from(_METHODS) | _JSON,
        "params": st.fixed_dictionaries(
            {},
            optional={
                "_meta": st.just(META) | _JSON,
                "name": st.just("other") | _JSON,
                "arguments": _JSON,
                "protocolVersion": st.sampled_from(revisions.ALL) | _JSON,
                "cursor": _JSON,
            },
        )
        | _JSON,
    },
)
_HEADERS = st.builds(
    revisions.Header,
    st.none() | st.sampled_from(revisions.ALL) | st.text(max_size=8),
    st.none() | st.sampled_from(_METHODS) | st.text(max_size=8),
    st.none() | st.text(max_size=8),
)
_CODES = {-32700, -32600, -32601, -32602, -32020, -32022}


def _answered(body: bytes, header: Any) -> List[Any]:
    """Return what a body is answered with, as the endpoint does it, without running anything."""
    try:
        message = jsonrpc.message_of(jsonrpc.load(body))
        version = revisions.of_request(message, header)
        if message.id is None:
            return []
        if message.method == methods.CALL:
            methods.arguments_of_call(message)
            return []
        return [jsonrpc.result_of(message.id, methods.answer(message, version, Server(Config.of(), "3.11")))]
    except RpcError as error:
        assert error.code in _CODES and str(error).endswith((".", "version"))
        return [jsonrpc.error_of(error)]


@settings(FUZZ, max_examples=500)
@given(_MESSAGES | _JSON, st.none() | _HEADERS)
def test_any_json_is_answered_or_refused_by_a_known_code(value: Any, header: Any) -> None:
    for answer in _answered(json.dumps(value).encode("utf-8"), header):
        again = json.loads(b"".join(jsonrpc.parts_of(answer, [])))
        assert ("result" in again) != ("error" in again)
        if "result" in again:
            assert again["id"] == value["id"]


@settings(FUZZ, max_examples=300)
@given(st.binary(max_size=40) | st.text(max_size=40).map(lambda text: text.encode("utf-8", "replace")))
def test_any_bytes_are_answered_or_refused_by_a_known_code(body: bytes) -> None:
    _answered(body, None)


@settings(FUZZ, max_examples=60)
@given(message=_MESSAGES | _JSON)
def test_a_server_answers_any_json(server: RunningServer, message: Any) -> None:
    reply = post(server.port, message, ("MCP-Protocol-Version", LEGACY))
    assert reply.status in (200, 202, 400)
    assert bool(reply.body) == (reply.status != 202)


def test_calls_at_once_get_their_own_answers(server: RunningServer) -> None:
    def one(number: int) -> Any:
        message = modern("tools/call", call("print(%d)" % number), id=number)
        return result_of(post(server.port, message, *header(message)), number)

    answers = in_threads(4, one)
    assert [texts(answer) for answer in answers] == [[str(number)] for number in range(4)]
