"""What the server says of itself to programs: /openapi.json, /metrics and /about, against what it does."""

from __future__ import annotations

import contextlib
import gzip
import inspect
import json
import os
import re
import urllib.error
import urllib.request
from datetime import datetime, timezone
from typing import Any, Dict, Iterator, List, Optional

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, ValidationError, validators
from processes import await_that
from prometheus_client.parser import text_string_to_metric_families
from servers import ADMIN_KEY
from support import FUZZ, ROOT, STATUS_OF, ask, connect, execute, request

from pyexec import config, errors, findings
from pyexec.api import openapi, pages, response
from pyexec.api import request as contract
from pyexec.api.response import Context, Done
from pyexec.client import ServiceError
from pyexec.http1.answer import made_as_written
from pyexec.job import Job, Outcome


def _openapi(server) -> Any:
    return json.loads(server.get("/openapi.json")[1])


def _ref(name: str) -> Any:
    return {"$ref": "#/components/schemas/" + name}


def _described(document: Any, path: str, method: str, status: int) -> Any:
    """Return what the document says of an answer."""
    answer = document["paths"][path][method]["responses"][str(status)]
    return document["components"]["responses"][answer["$ref"].split("/")[-1]] if "$ref" in answer else answer


def _kinds() -> List[Any]:
    """Return every error class with a type of the contract."""
    found = [item for _, item in inspect.getmembers(errors, inspect.isclass)]
    return [item for item in found if issubclass(item, errors.PyexecError) and item.type]


def _validator(document: Any, schema: Any) -> Draft202012Validator:
    """Return what checks instances of a schema in an OpenAPI document, with patterns as ECMAScript has them."""

    def pattern(validator: Any, expression: str, instance: Any, schema: Any) -> Iterator[ValidationError]:
        # Python's $ matches before a final line break as well.
        if isinstance(instance, str) and not re.search(re.sub(r"\$(?=$|\))", r"\\Z", expression), instance):
            yield ValidationError("%r does not match %r" % (instance, expression))

    strict = validators.extend(Draft202012Validator, {"pattern": pattern})
    return strict(dict(schema, components=document["components"]))


def test_openapi_names_every_field_limit_and_error(server) -> None:
    from openapi_spec_validator import validate

    document = _openapi(server)
    assert document["openapi"].startswith("3.1")
    validate(document)
    request = document["components"]["schemas"]["Request"]
    assert tuple(request["properties"]) == contract.FIELDS and request["additionalProperties"] is False
    assert request["properties"]["code"]["description"] == "the script, 1 to 2,000 characters"
    here = {kind: status for kind, status in STATUS_OF.items() if kind != "Forbidden"}  # pages that speak MCP
    statuses = {str(status) for status in here.values()} | {"200"}
    assert set(document["paths"]["/execute"]["post"]["responses"]) == statuses
    for kind, status in here.items():
        assert (
            document["components"]["schemas"][kind]["properties"]["error_details"]["properties"]["type"]["const"]
            == kind
        )
        answer = _described(document, "/execute", "post", status)["content"]["application/json"]["schema"]
        assert {"$ref": "#/components/schemas/" + kind} in answer.get("oneOf", [answer])
    about = json.loads(server.get("/about")[1])
    for name, value in about["limits"].items():
        assert "- `%s`: " % name in document["paths"]["/execute"]["post"]["description"], name
        assert re.search(
            r"`%s`: .*, %s$" % (name, re.escape(str(value))), document["paths"]["/execute"]["post"]["description"], re.M
        )


_FRAMING = {"server", "date", "connection", "keep-alive", "content-type", "content-length"}
_FOR_BROWSERS = set("content-security-policy cross-origin-opener-policy referrer-policy x-content-type-options".split())
_JSON = ("Content-Type", "application/json")
_KEY = ("Authorization", "Bearer " + ADMIN_KEY)
_EXCHANGES = {
    "ok": execute({"code": "print(1)"}),
    "admin": execute({"code": "import os"}, _KEY),
    "returned": execute({"code": "open('a', 'w').write('x')", "return_files": ["a", "b"]}),
    "failed": execute(
        {"code": "1/0", "stdin_data": "x", "attachments": [{"filename": "a", "content_base_64": "eA=="}]}
    ),
    "forbidden": execute({"code": "import os"}),
    "invalid": execute({"code": ""}),
    "time": execute({"code": "print(1)\nwhile True: pass"}),
    "wrong key": execute({"code": "1", "api_key": "x"}),
    "no method": request("DELETE", "/execute"),
    "no length": request("POST", "/execute", None, [_JSON]),
    "too large": request("POST", "/execute", None, [_JSON, ("Content-Length", str(1 << 30))]),
    "no JSON": request("POST", "/execute", b"1", [("Content-Type", "text/plain")]),
    "long head": request("GET", "/about", None, [("X", "y" * 40000)]),
    "bad head": b"GET /about HTTP/1.1\r\n\r\n",
    "health": request("GET", "/health"),
    "about": request("GET", "/about"),
    "openapi": request("GET", "/openapi.json"),
    "metrics": request("GET", "/metrics"),
    "page": request("GET", "/"),
    "page, packed": request("GET", "/", None, [("Accept-Encoding", "gzip, br")]),
    "page, known": request("GET", "/", None, [("If-None-Match", "*")]),
}


@pytest.mark.parametrize("name", _EXCHANGES)
def test_answers_are_as_described(server, name: str) -> None:
    raw = _EXCHANGES[name]
    document = _openapi(server)
    method, path = raw.decode("utf-8").split(" ")[:2]
    reply = ask(server.port, raw, method)
    (operation,) = document["paths"][path]
    assert operation == method.lower() or reply.status == 405
    described = _described(document, path, operation, reply.status)
    headers = {title.lower(): document["components"]["headers"][title] for title in described["headers"]}
    assert set(reply.fields) - _FRAMING - _FOR_BROWSERS <= set(headers)
    assert {title for title, header in headers.items() if header["required"]} <= set(reply.fields)
    for title in set(reply.fields) & set(headers):
        value: Any = reply.fields[title]
        kind = headers[title]["schema"]
        _validator(document, kind).validate(int(value) if kind.get("type") == "integer" else value)
    assert bool(reply.body) == ("content" in described)
    for media, content in described.get("content", {}).items():
        assert reply.fields["content-type"].split(";")[0] == media
        content_of = gzip.decompress if "content-encoding" in reply.fields else bytes
        body = reply.document if media == "application/json" else content_of(reply.body).decode("utf-8")
        _validator(document, content["schema"]).validate(body)
        if media == "application/json":
            _named(document, content["schema"], body)


def test_neither_head_nor_options_is_described(server) -> None:
    """Generators would make a function of each."""
    methods = {path: list(item) for path, item in _openapi(server)["paths"].items()}
    assert methods.pop("/execute") == ["post"] and {tuple(names) for names in methods.values()} == {("get",)}


def test_no_number_of_the_settings_is_a_constraint() -> None:
    """A client that was generated from one server's description works with another, and after a quota has changed."""

    def without_text(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: without_text(item) for key, item in value.items() if key != "description"}
        return [without_text(item) for item in value] if isinstance(value, list) else value

    numbers = {name: 7 + place for place, name in enumerate(sorted(set(openapi.PUBLIC_LIMITS) - {"wall_s"}))}
    ours, others = (openapi.document(config.Config.of(**changed)) for changed in ({}, dict(numbers, modules="math")))
    assert ours != others and without_text(ours) == without_text(others)
    text = json.dumps(others)
    for name, number in numbers.items():
        assert "- `%s`: " % name in text and ", %d\\n" % number in text or name == openapi.PUBLIC_LIMITS[-1]


def test_every_mark_is_filled() -> None:
    with open(openapi.FILE, encoding="utf-8") as file:
        marks = set(re.findall(r"\{([a-z_]+)\}", file.read()))
    assert {"limits", "modules", "version", "code_chars", "rate_per_day"} <= marks
    odd = config.Config.of(modules="math", rate_per_day=123456)
    text = json.dumps(openapi.document(odd))
    assert not re.search(r"\{[a-z_]+\}", text) and "123,456" in text and "Public scripts may import: `math`." in text


def _named(document: Any, schema: Any, instance: Any, where: str = "") -> None:
    """Check that every field of an answer is described; the schemas themselves allow more, for later."""
    while "$ref" in schema or "oneOf" in schema:
        if "$ref" in schema:
            schema = document["components"]["schemas"][schema["$ref"].split("/")[-1]]
        else:
            schema = next(item for item in schema["oneOf"] if _validator(document, item).is_valid(instance))
    if isinstance(instance, dict) and "properties" in schema:
        for key, value in instance.items():
            if where or "openapi" not in instance:
                assert key in schema["properties"], where + key
                _named(document, schema["properties"][key], value, where + key + ".")


_ERRORS = [
    errors.ValidationError("No."),
    errors.ValidationError("No.", "code"),
    errors.ForbiddenImportError(("os",)),
    errors.RunTimeoutError(10),
    errors.ResourceLimitError("memory", 5),
    errors.AuthenticationError("No."),
    errors.Forbidden("No."),
    errors.NotFound("No."),
    errors.MethodNotAllowed("PUT", ("GET",)),
    errors.RequestTimeout("No."),
    errors.LengthRequired("No."),
    errors.PayloadTooLarge("No."),
    errors.UnsupportedMediaType("No."),
    errors.MisdirectedRequest("No."),
    errors.RateLimitExceeded("No.", 9),
    errors.HeadersTooLarge("No."),
    errors.NotImplementedHere("No."),
    errors.ServerBusy("No."),
    errors.VersionNotSupported("No."),
    errors.InternalServerError("why", "0123"),
]


def test_every_error_is_as_described() -> None:
    assert {type(error) for error in _ERRORS} == set(_kinds())
    document = openapi.document(config.Config.of())
    outcomes = {
        "TimeoutError": Outcome("timeout", -9, 10.0, b"so far"),
        "ResourceLimitError": Outcome("resource", -9, 10.0, b"so far", resource="memory", limit=5),
    }
    for error in _ERRORS:
        ended = outcomes.get(error.type)
        result = error if ended is None else Done(Job("1"), ended)
        answer = response.respond(result, Context(datetime.now(timezone.utc)), config.Config.of())
        assert answer.kind == error.type
        body = json.loads(b"".join(made_as_written(answer.parts)))
        for name in (error.type, "Error"):
            _validator(document, _ref(name)).validate(body)
        _named(document, _ref("Error"), body)
        del body["error_details"]["type"]
        assert not _validator(document, _ref(error.type)).is_valid(body)


def test_what_a_run_says_of_itself_is_as_described() -> None:
    document = openapi.document(config.Config.of())
    frame = {"line": 1, "function": "f", "code": "x", "locals": {"a": "1"}, "locals_omitted": 2}
    failure: Dict[str, Any] = {"type": "E", "message": "", "line": None, "code": "", "frames": [frame]}
    failure.update(frames_omitted=1, largest=[{"name": "a", "size_bytes": 5, "value": "x"}])
    value = {"repr": "", "json": [{}], "markdown": "", "truncated": True}
    ended = Outcome("ended", 1, 0.1, error=findings.error(failure), value=value)
    answer = response.respond(Done(Job("1"), ended, "x"), Context(datetime.now(timezone.utc)), config.Config.of())
    body = json.loads(b"".join(made_as_written(answer.parts)))
    details = body["execution_details"]
    schema = _ref("ExecutionDetails")
    _validator(document, schema).validate(details)
    _named(document, schema, details)
    for change in ({"hint": 1}, {"error": {}}, {"error": dict(failure, frames=[{}])}, {"value": {"repr": 1}}):
        assert not _validator(document, schema).is_valid(dict(details, **change))


_TEXTS = ["", "a", "é" * 3, "x" * 2000, "x" * 2001, "😀" * 2000, "a\0", "\0", "a\nb"]
_NAMES = ["script.py", "script.pyc", "a\n", "\x85", "\x9f", "\xa0", "\x7f", "a" * 255, "a" * 256, "é" * 128, "...", " "]
_NAMES += ["a..b", ".", "..", "/", "a/b", "a\\b", "", "a\0", "a", "\x1f"]
_PATHS = _NAMES + ["/a", "a/../b", "../a", "a/..", "a/...", "a..", "b/", "x/..\n", "./a", "a//..", "..a"]
_PATHS += ["*" * 8, "*" * 9, "**/*.csv", "a*" * 8 + "a", "a*" * 9, "\n*" * 9]
_PATHS += ["p" * 4095, "p" * 4096, "é" * 2048]
_CONTENTS = [
    "",
    "eA==",
    "eHg=",
    "eHh4",
    "eA",
    "e===",
    "=eHh",
    "eA==eA==",
    "eHh4\n",
    "é",
    "eH 4",
    "e/+4",
    "e_-4",
    "eA=",
    "e",
]
_CONTENTS += [
    "e H\th\n4",
    " eA==\r\n",
    "eA=\f=",
    "eA\v==",
    "eA==\xa0",
    "data:;base64,eA==",
    " DATA:text/plain;x;Base64,\neA==",
]
_CONTENTS += [
    "data:,eA==",
    "data:;base64;eA==",
    "data:a,b;base64,eA==",
    "da ta:;base64,eA==",
    "data:;base64,data:;base64,eA==",
]
_CONTENTS += ["data:%s;base64,eA==" % ("x" * count) for count in (1000, 1001)]
_CONTENTS += ["eHh4" * 3, "eHh4" * 4, "eHh4eHh4eHg=", "====", "eHh4===="]
_ODD: List[Any] = [None, True, 0, 1.5, {}, [], "x", ["x"], [[]], [None], [{}]]
_FILE = {"filename": "a", "content_base_64": "eA=="}
_SMALL = config.Config.of(attachment_bytes=9, stdin_bytes=20, return_files=3)
_DOCUMENT = openapi.document(_SMALL)


def _file(**fields: Any) -> Any:
    return {"attachments": [dict(_FILE, **fields)]}


_CHANGES: List[Any] = [{name: value} for name in contract.FIELDS + ("codes", "Code") for value in _ODD]
_CHANGES += [{name: text} for name in ("code", "api_key", "stdin_data") for text in _TEXTS]
_CHANGES += [{"return_files": [path]} for path in _PATHS]
_CHANGES += [{"return_files": ["a"] * count} for count in range(5)]
_CHANGES += [_file(filename=name) for name in _NAMES + _ODD]
_CHANGES += [_file(content_base_64=content) for content in _CONTENTS + _ODD]
_CHANGES += [{"attachments": [{"filename": "a", "content_base64": content}]} for content in _CONTENTS + _ODD]
_CHANGES += [_file(content_base64=content) for content in (None, "", "eA==", 1)]
_CHANGES += [_file(content_base_64=None, content_base64=content) for content in (None, "", "eA==", 1)]
_CHANGES += [_file(more=value) for value in _ODD]
_CHANGES += [{"attachments": [{name: "a"}]} for name in _FILE]
_CHANGES += [{"attachments": [dict(_FILE, filename=str(place)) for place in range(count)]} for count in range(4)]
_CHANGES += [{"attachments": [_FILE, _FILE]}, {"attachments": [_FILE, dict(_FILE, content_base_64="")]}]


def _check_agreement(instance: Any) -> None:
    described = _validator(_DOCUMENT, _ref("Request")).is_valid(instance)
    try:
        contract.parse(json.dumps(instance).encode("utf-8"), _SMALL)
    except errors.ValidationError as refusal:
        # What JSON Schema can't say, and what depends on the settings.
        unsaid = "Two attachments are named| bytes in UTF-8|most 20 bytes|most 9 bytes after decoding"
        unsaid += "|may have at most [23] entries|1 to 2000 characters; it has 2001"
        assert not described or re.search(unsaid, str(refusal)), refusal
    else:
        assert described


@pytest.mark.parametrize("change", _CHANGES, ids=lambda change: repr(change)[:60])
def test_schema_and_contract_agree(change: Any) -> None:
    _check_agreement(dict({"code": "1"}, **change))


def test_schema_and_contract_agree_without_code() -> None:
    _check_agreement({})
    _check_agreement({"stdin_data": "x"})


_CHARACTERS = st.text(st.sampled_from("a./\\\0\n\x85é😀=+_4") | st.characters(exclude_categories=["Cs"]), max_size=12)


@settings(FUZZ, max_examples=300)
@given(_CHARACTERS, st.sampled_from(["filename", "content_base_64", "path"]))
def test_schema_and_contract_agree_about_any_text(text: str, place: str) -> None:
    change = {"return_files": [text]} if place == "path" else _file(**{place: text})
    _check_agreement(dict({"code": "1"}, **change))


def test_the_page_is_small_and_sent_packed(server) -> None:
    sizes = [len(page.content) for page in pages.PAGES.values()]
    assert len(sizes) == 11 and sum(sizes) < 100 * 1024
    assert sum(len(page.packed) for page in pages.PAGES.values()) < 40 * 1024
    for path, page in pages.PAGES.items():
        plain = ask(server.port, request("GET", path))
        assert (
            plain.body == page.content
            and plain.fields["vary"] == "Accept-Encoding"
            and "content-encoding" not in plain.fields
        )
        for taken in ("gzip", "br, gzip;q=0.5", "deflate,X-GZIP"):
            packed = ask(server.port, request("GET", path, None, [("Accept-Encoding", taken)]))
            assert packed.fields["content-encoding"] == "gzip" and gzip.decompress(packed.body) == page.content
            assert packed.fields["vary"] == "Accept-Encoding" and packed.fields["etag"] != plain.fields["etag"]
        for not_taken in ("gzip;q=0", "gzip; q=0.000", "br", "*", "identity", ""):
            assert ask(server.port, request("GET", path, None, [("Accept-Encoding", not_taken)])).body == page.content


@pytest.mark.parametrize("path", ["/", "/static/app.js", "/static/style.css", "/about", "/openapi.json"])
def test_what_is_known_is_not_sent_again(server, path: str) -> None:
    first = ask(server.port, request("GET", path))
    tag = first.fields["etag"]
    assert first.status == 200 and re.match(r'"[0-9a-f]{24}"\Z', tag) and first.fields["cache-control"] == "no-cache"
    for known in (tag, "W/" + tag, '"x", ' + tag, "*"):
        for method in ("GET", "HEAD"):
            again = ask(server.port, request(method, path, None, [("If-None-Match", known)]), method)
            assert (again.status, again.body) == (304, b"")
            assert again.fields["etag"] == tag and again.fields["cache-control"] == "no-cache"
    for other in ('"x"', tag.strip('"'), '"' + tag[1:-2] + '"', ""):
        assert ask(server.port, request("GET", path, None, [("If-None-Match", other)])).body == first.body
    head = ask(server.port, request("HEAD", path), "HEAD")
    assert {k: v for k, v in head.fields.items() if k != "date"} == {
        k: v for k, v in first.fields.items() if k != "date"
    }


def test_paths_of_callers_make_no_series(start_server) -> None:
    running = start_server()
    for place in range(20):
        with pytest.raises(ServiceError):
            running.client.call("GET", "/made-up-%d" % place)
    await_that(lambda: 'path="other",type="NotFound",status="404"} 20' in running.get("/metrics")[1])
    assert "made-up" not in running.get("/metrics")[1]


def test_about_says_what_is_configured(start_server) -> None:
    about = json.loads(start_server(wall_s=3, modules="math json").get("/about")[1])
    assert about["limits"]["wall_s"] == 3 and about["modules"] == ["math", "json"]
    assert {layer["name"] for layer in about["layers"]} >= {"seccomp", "landlock"}
    assert set(about["limits"]) <= {setting.name for setting in config.SETTINGS}


def _families(running) -> Any:
    """Return the metrics, from the port of their own if the server has one: asking takes no connection there."""
    inside = re.search(r"metrics on (http://[^ \"]*/metrics)", running.log)
    url = inside.group(1) if inside else running.url + "/metrics"

    def look() -> Optional[str]:
        try:
            with urllib.request.urlopen(url) as answer:
                return str(answer.read().decode("utf-8"))
        except urllib.error.HTTPError as error:  # connections of earlier looks aren't closed yet
            error.close()
            return None

    return {family.name: family for family in text_string_to_metric_families(await_that(look))}


def _refusals(running) -> Any:
    families = _families(running)
    return {sample.labels["limit"]: sample.value for sample in families["pyexec_refusals"].samples if sample.value}


def test_metrics_say_which_limit_refused(start_server) -> None:
    running = start_server(rate_per_day=4, rate_per_minute=100, wall_s=1, body_bytes=1000)
    for body in (
        {"code": "while True: pass"},
        {"code": "x = 1"},
        {"code": "x = 1"},
        {"code": "x = 1"},
        {"code": "x = 1"},
        {"code": "x" * 2000},
    ):
        with contextlib.suppress(ServiceError):
            running.client.call("POST", "/execute", body)
    ask(running.port, request("GET", "/", None, [("X", "y" * 40000)]))
    await_that(lambda: _refusals(running) == {"time": 1, "day": 1, "body": 1, "head": 1})


def test_metrics_count_what_was_refused_for_want_of_room(start_server) -> None:
    running = start_server(max_connections=2, bodies_bytes=1000, metrics_port=0)
    assert ask(running.port, execute({"code": "1", "stdin_data": "x" * 70000}), "POST").status == 503
    with contextlib.ExitStack() as held:
        # One after the other: before that is done the connection above may still take a place.
        for count in (1, 2):
            held.enter_context(connect(running.port)).sendall(execute({"code": "import time; time.sleep(4)"}))
            await_that(lambda n=count: _families(running)["pyexec_active_runs"].samples[0].value == n)
        assert ask(running.port, b"").error_type == "ServerBusy"

    await_that(lambda: _refusals(running) == {"bodies": 1, "connections": 1})
    running = start_server(max_runs=1)
    with connect(running.port) as first:
        first.sendall(execute({"code": "import time; time.sleep(2)"}))
        await_that(lambda: running.client.call("GET", "/health")["active_runs"] == 1)
        assert ask(running.port, execute({"code": "1"}), "POST").status == 503
        assert first.recv(100).startswith(b"HTTP/1.1 200 ")
    await_that(lambda: _refusals(running) == {"runs": 1})


def test_every_metric_is_documented(server) -> None:
    with open(os.path.join(ROOT, "docs", "api.md"), encoding="utf-8") as file:
        named = set(re.findall(r"`(pyexec_\w+)`", file.read()))
    everybodys = set(re.findall(r"^# TYPE (\w+)", server.get("/metrics")[1], re.M))
    assert named == everybodys | {"pyexec_key_requests_total"}  # which tests/system/test_named_keys.py looks at


def test_metrics_on_a_port_of_their_own(start_server) -> None:
    running = start_server(metrics_port=0)
    found = re.search(r"\"metrics on http://127\.0\.0\.1:(\d+)/metrics\"", running.log)
    assert found
    inside = int(found.group(1))
    running.client.execute("print('secret-script')")
    outside = ask(running.port, request("GET", "/metrics"))
    assert (outside.status, outside.error_type) == (404, "NotFound")
    assert "/metrics" not in _openapi(running)["paths"]
    await_that(lambda: b'path="/execute",type="ok",status="200"} 1' in ask(inside, request("GET", "/metrics")).body)
    reply = ask(inside, request("GET", "/metrics"))
    assert reply.status == 200 and list(text_string_to_metric_families(reply.body.decode("utf-8")))
    for other in ("/", "/health", "/about", "/execute"):
        assert ask(inside, request("GET", other)).status == 404
    assert ask(inside, execute({"code": "1"}), "POST").status == 404
    assert running.stop() == 0
