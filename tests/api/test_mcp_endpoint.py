"""POST /mcp beside POST /execute: the same limits, keys, confinement and protection from web pages."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any, Iterator

import pytest
import rpc
import stand_in
from rpc import LEGACY, ask_legacy, ask_modern, call, header, legacy, modern, post, texts
from servers import ADMIN_KEY, RunningServer
from support import ask, check_alive, check_reply, exchange, execute, in_threads, log_lines, parse_replies, request

KEY = ("Authorization", "Bearer " + ADMIN_KEY)
ORIGIN = "https://a.example"


def bearer(key: str) -> Any:
    return ("Authorization", "Bearer " + key)


# -- limits -----------------------------------------------------------------------------------------------------------


def test_calls_and_requests_share_a_quota_and_listing_costs_nothing(start_server) -> None:
    running = start_server(rate_per_minute=3, rate_per_day=5)
    for _ in range(10):
        assert ask_modern(running.port, "tools/list").status == 200
    assert ask(running.port, execute({"code": "1"})).status == 200
    for ask_it in (ask_modern, ask_legacy):
        reply = ask_it(running.port, "tools/call", call())
        assert reply.document["result"]["isError"] is False and "ratelimit" in reply.fields
    for ask_it in (ask_modern, ask_legacy):
        reply = ask_it(running.port, "tools/call", call())
        result = reply.document["result"]
        assert reply.status == 200 and result["isError"] is True
        (text,) = texts(result)
        assert text.startswith("3 runs a minute are used up; try again in ") and text.endswith(" s.")
    assert ask(running.port, execute({"code": "1"})).error_type == "RateLimitExceeded"
    kinds = [(line["path"], line["status"], line["type"]) for line in log_lines(running.log)]
    assert kinds[-3:] == [("/mcp", 200, "RateLimitExceeded")] * 2 + [("/execute", 429, "RateLimitExceeded")]
    assert 'pyexec_refusals_total{limit="minute"} 3' in running.get("/metrics")[1]
    assert 'pyexec_requests_total{path="/mcp",type="ok",status="200"} 12' in running.get("/metrics")[1]


def test_a_day_that_is_used_up_is_said(start_server) -> None:
    running = start_server(rate_per_minute=3, rate_per_day=1)
    ask_modern(running.port, "tools/call", call())
    (text,) = texts(ask_modern(running.port, "tools/call", call()).document["result"])
    assert text.startswith("1 run a day is used up; try again in ")


def test_when_all_slots_are_taken_the_model_is_told(start_server) -> None:
    running = start_server(max_runs=1, rate_per_minute=1000, rate_per_day=1000, wall_s=3)
    slow = call("import time\ntime.sleep(1.5)\nprint('slow')")
    answers = in_threads(4, lambda _: ask_modern(running.port, "tools/call", slow).document["result"])
    said = sorted(texts(answer)[0] for answer in answers)
    assert "slow" in said and any(text.startswith("The only slot is taken") for text in said)
    assert all(answer["isError"] == (texts(answer) != ["slow"]) for answer in answers)


def test_a_run_that_is_ended_says_by_what_limit(server: RunningServer) -> None:
    result = ask_modern(server.port, "tools/call", call("print('so far', flush=True)\nwhile True: pass")).document
    (text,) = texts(result["result"])
    assert result["result"]["isError"] is True and text.startswith("so far\n")
    assert "Execution exceeded the time limit of 5 seconds.\nDo less in one run" in text
    assert "At line 2 in <module>: while True: pass" in text


def test_a_run_that_grows_beyond_its_memory_says_what_is_large(start_server) -> None:
    code = "import time\nkept = []\nwhile True:\n    kept.append(bytearray(1 << 20))\n    time.sleep(0.004)"
    running = start_server(memory_bytes=256 << 20)
    result = ask_modern(running.port, "tools/call", call(code)).document["result"]
    (text,) = texts(result)
    assert result["isError"] and re.search(r"^At line [345] in <module>: .*kept = ", text, re.M), text
    assert re.search(r"^Largest: kept, [23]\d\d MiB\nResourceLimitError: .* 256 MiB of memory\.$", text, re.M), text


def test_a_run_that_used_too_much_gets_advice(server: RunningServer) -> None:
    (text,) = texts(ask_modern(server.port, "tools/call", call("while True: print('x' * 100000)")).document["result"])
    assert "of output.\nPrint less, or write to a file" in text


def test_what_may_not_be_imported_is_said(server: RunningServer) -> None:
    result = ask_modern(server.port, "tools/call", call("print('x')\nimport os")).document["result"]
    (text,) = texts(result)
    assert result["isError"] is True and text.startswith("ForbiddenImportError: Import of 'os' is not allowed")


def test_a_large_message_that_runs_nothing_costs_a_run(start_server) -> None:
    running = start_server(rate_per_minute=2, rate_per_day=9)
    padding = "x" * 70000
    for message in (legacy("ping", {"padding": padding}), legacy("tools/call", call("", padding=padding))):
        assert post(running.port, message, ("MCP-Protocol-Version", LEGACY)).status == 200
    reply = post(running.port, b"{" + b" " * 70000, ("MCP-Protocol-Version", LEGACY))
    assert (reply.status, reply.document["error"]["data"]["type"]) == (429, "RateLimitExceeded")
    assert "used up" in texts(ask_legacy(running.port, "tools/call", call()).document["result"])[0]
    assert ask_legacy(running.port, "ping").status == 200
    assert ask_legacy(running.port, "ping", {"padding": padding}, KEY).status == 200


def test_a_body_that_is_too_large_is_refused_as_everywhere(server: RunningServer) -> None:
    raw = request("POST", "/mcp", None, [("Content-Type", "application/json"), ("Content-Length", str(1 << 30))])
    assert ask(server.port, raw).error_type == "PayloadTooLarge"
    assert ask(server.port, request("POST", "/mcp", b"{}", [("Content-Type", "text/plain")])).status == 415


# -- keys -------------------------------------------------------------------------------------------------------------


def test_the_key_makes_an_admin(server: RunningServer) -> None:
    reply = ask_modern(server.port, "tools/call", call("import os\nprint(os.path.sep)"), KEY)
    assert texts(reply.document["result"]) == ["/"] and "ratelimit" not in reply.fields
    public, admin = (ask_modern(server.port, "tools/list", None, *fields).document for fields in ((), (KEY,)))
    said = [document["result"]["tools"][0]["description"] for document in (public, admin)]
    assert "runs: " in said[0] and "Other modules that may be imported: " in said[0]
    assert "runs: " not in said[1] and "Any module that is installed may be imported." in said[1]


@pytest.mark.parametrize("method, params", [("tools/list", {}), ("tools/call", call())])
def test_a_wrong_key_is_a_401_that_clients_understand(start_server, method: str, params: Any) -> None:
    running = start_server(rate_per_minute=2, rate_per_day=9)
    for _ in range(2):
        reply = ask_modern(running.port, method, params, bearer("wrong"))
        error = reply.document["error"]
        assert (reply.status, reply.document["id"], error["code"]) == (401, 1, -32600)
        assert error["data"] == {"type": "AuthenticationError"} and "not valid" in error["message"]
        assert reply.fields["www-authenticate"].startswith("Bearer")
    reply = ask_modern(running.port, method, params, bearer("wrong"))
    if method == "tools/call":  # which tells the model itself
        assert "wrong API keys per minute" in texts(reply.document["result"])[0]
    else:
        assert (reply.status, reply.document["error"]["data"]["type"]) == (429, "RateLimitExceeded")
    # Guesses are no runs.
    assert texts(ask_modern(running.port, "tools/call", call()).document["result"]) == ["42"]


def test_no_argument_is_a_key(server: RunningServer) -> None:
    result = ask_modern(server.port, "tools/call", call(api_key=ADMIN_KEY)).document["result"]
    assert result["isError"] is True and texts(result)[0].startswith("ValidationError: There is no argument 'api_key'")


# -- web pages --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def open_to_one() -> Iterator[RunningServer]:
    """A server that pages of one origin may use."""
    running = RunningServer({"cors_origin": ORIGIN, "rate_per_minute": 100})
    yield running
    assert running.stop() == 0, running.log


def from_page(port: int, origin: str, host: str = "localhost", cors: Any = None) -> Any:
    message = modern("tools/list")
    raw = rpc.raw(message, [*header(message), ("Origin", origin)])
    (reply,) = parse_replies(exchange(port, raw.replace(b"Host: localhost", b"Host: " + host.encode())), ["POST"])
    check_reply(reply, cors)
    return reply


FOREIGN = [
    "https://evil.example",
    "null",
    "http://localhost:1",
    "http://localhost",
    "https://a.example.evil",
    "x",
    "file://",
]


@pytest.mark.parametrize("origin", FOREIGN)
def test_pages_of_other_origins_are_refused(server: RunningServer, open_to_one: RunningServer, origin: str) -> None:
    host = "localhost:%d" % server.port
    for running, cors in ((server, None), (open_to_one, ORIGIN)):
        reply = from_page(running.port, origin, host, cors)
        assert (reply.status, reply.error_type) == (403, "Forbidden")
        assert "--cors-origin" in reply.document["error_details"]["message"]


def test_pages_of_the_origin_that_is_set_are_served(open_to_one: RunningServer, start_server) -> None:
    assert from_page(open_to_one.port, ORIGIN, cors=ORIGIN).status == 200
    assert from_page(open_to_one.port, ORIGIN.upper(), cors=ORIGIN).status == 403
    any_page = start_server(cors_origin="*")
    assert from_page(any_page.port, "https://evil.example", cors="*").status == 200


def test_our_own_pages_are_served(server: RunningServer) -> None:
    for host in ("localhost:%d" % server.port, "127.0.0.1:%d" % server.port, "[::1]:9", "example.org"):
        assert from_page(server.port, "http://" + host, host).status == 200


def test_a_page_whose_name_was_pointed_at_us_is_refused(start_server) -> None:
    """Listening elsewhere than on the loopback, any host is answered to; a page's own name proves nothing then."""
    running = start_server(host="0.0.0.0", allowed_hosts="none")
    assert ask_modern(running.port, "tools/list").status == 200
    for host in ("evil.example", "localhost"):
        assert from_page(running.port, "http://" + host, host).error_type == "Forbidden"
    assert from_page(running.port, "http://127.0.0.1:9", "127.0.0.1:9").status == 200


def test_a_foreign_host_is_refused_with_and_without_an_origin(server: RunningServer) -> None:
    for origin in ("http://evil.example", "http://localhost"):
        assert from_page(server.port, origin, "evil.example").error_type == "MisdirectedRequest"


def test_preflights_allow_the_fields_of_the_protocol(server: RunningServer, open_to_one: RunningServer) -> None:
    raw = request("OPTIONS", "/mcp", None, [("Origin", ORIGIN), ("Access-Control-Request-Method", "POST")])
    (reply,) = parse_replies(exchange(open_to_one.port, raw), ["OPTIONS"])
    check_reply(reply, ORIGIN)
    allowed = reply.fields["access-control-allow-headers"].lower().split(", ")
    assert {"mcp-protocol-version", "mcp-method", "mcp-name", "content-type", "authorization"} <= set(allowed)
    closed = ask(server.port, raw, "OPTIONS")
    assert (closed.status, closed.fields["allow"]) == (204, "POST, OPTIONS")


# -- files and memory -------------------------------------------------------------------------------------------------


def test_large_files_come_back_whole(server: RunningServer) -> None:
    code = "open('a.bin', 'wb').write(bytes(range(256)) * 16384)\nopen('b.bin', 'wb').write(b'\\0\\1' * 1000)\npass"
    result = ask_modern(server.port, "tools/call", call(code, return_files=["a.bin", "b.bin"])).document["result"]
    text, first, second = result["content"]
    assert text["text"] == "a.bin: 4194304 bytes, attached\nb.bin: 2000 bytes, attached"
    assert first["type"] == second["type"] == "resource"
    assert first["resource"]["uri"] == "pyexec://run/a.bin"
    assert len(first["resource"]["blob"]) == (4194304 + 2) // 3 * 4


def test_files_in_as_text_and_as_base64(server: RunningServer) -> None:
    files = {"a.txt": "\u00e9\n", "b.bin": {"content_base64": "AAH/" * 30000}}
    code = "print(open('a.txt', encoding='utf-8').read().strip(), len(open('b.bin', 'rb').read()))"
    result = ask_modern(server.port, "tools/call", call(code, files=files)).document["result"]
    assert texts(result) == ["\u00e9 90000"]


def test_a_batch_holds_no_more_children_than_one_call(start_server) -> None:
    running = start_server(max_runs=1, rate_per_minute=1000, rate_per_day=1000)
    calls = [legacy("tools/call", call("print('x' * 5000)"), id=n) for n in range(10)]
    answers = json.loads(post(running.port, calls).body)
    assert all(answer["result"]["isError"] is False for answer in answers)
    check_alive(running.port)
    assert running.client.execute("print(1)").stdout == "1\n"


# -- pictures ---------------------------------------------------------------------------------------------------------


def test_a_chart_is_a_picture_right_after_the_start() -> None:
    with tempfile.TemporaryDirectory() as above:
        python = stand_in.python_with_it(Path(above))
        running = RunningServer({"modules": "+matplotlib"}, ["sh", "-c", 'shift; exec "$0" "$@"', python])
        try:
            code = "import matplotlib.pyplot as plt\nplt.plot([1, 2])"
            result = ask_modern(running.port, "tools/call", call(code)).document["result"]
            assert [block["type"] for block in result["content"]] == ["text", "image"], result
            assert result["content"][1]["mimeType"] == "image/png" and "Line2D" not in texts(result)[0]
            (tool,) = ask_modern(running.port, "tools/list").document["result"]["tools"]
            assert "matplotlib %s" % stand_in.METADATA_VERSION in tool["description"]
        finally:
            assert running.stop() == 0, running.log
