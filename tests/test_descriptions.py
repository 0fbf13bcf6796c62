"""What the server says of itself to programs: /openapi.json, /metrics and /about, against what it does."""

from __future__ import annotations

import json
import urllib.request

import pytest
from processes import await_that
from prometheus_client.parser import text_string_to_metric_families

from pyexec import config
from pyexec.client import ServiceError


def _get(server, path: str) -> tuple[str, str]:
    with urllib.request.urlopen(server.url + path) as answer:
        return answer.headers["Content-Type"], answer.read().decode("utf-8")


def test_openapi_names_every_field_limit_and_error(server) -> None:
    from openapi_spec_validator import validate

    kind, text = _get(server, "/openapi.json")
    document = json.loads(text)
    assert kind.startswith("application/json") and document["openapi"].startswith("3.1")
    validate(document)
    request = document["components"]["schemas"]["Request"]
    assert request["properties"]["code"]["maxLength"] == 2000 and request["additionalProperties"] is False
    statuses = set(document["paths"]["/execute"]["post"]["responses"])
    assert statuses == {"200", "400", "401", "404", "405", "408", "411", "413", "415", "429", "431", "500", "503"}


def test_answers_are_as_described(server) -> None:
    from jsonschema import Draft202012Validator

    document = json.loads(_get(server, "/openapi.json")[1])
    schemas = {"components": document["components"]}

    def check(name: str, instance: object) -> None:
        Draft202012Validator(dict(schemas, **{"$ref": "#/components/schemas/" + name})).validate(instance)

    check("Success", server.client.execute("open('a', 'w').write('x')", return_files=["a", "b"]).document)
    check("Success", server.admin.execute("1/0", stdin="x", attachments={"a": b"x"}).document)
    for body in ({"code": "import os"}, {"code": ""}, {}, {"code": "1", "api_key": "x"}, {"code": "while True: pass"}):
        with pytest.raises(ServiceError) as caught:
            server.client.call("POST", "/execute", body)
        check("Error", caught.value.document)


def test_metrics_count_and_tell_nothing_else(start_server) -> None:
    running = start_server()
    running.client.execute("print('secret-script')")
    for _ in range(6):
        try:
            running.client.execute("import os")
        except ServiceError:
            continue
    # An answer is counted once it is out, so perhaps a moment after its reader has it.
    for line in ('type="RateLimitExceeded",status="429"} 2', 'type="ForbiddenImportError",status="400"} 4'):
        await_that(lambda line=line: line in _get(running, "/metrics")[1])
    kind, text = _get(running, "/metrics")
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert kind.startswith("text/plain; version=0.0.4")
    requests = {tuple(sorted(s.labels.items())): s.value for s in families["pyexec_requests"].samples}
    assert requests[(("path", "/execute"), ("status", "200"), ("type", "ok"))] == 1
    assert requests[(("path", "/execute"), ("status", "400"), ("type", "ForbiddenImportError"))] == 4
    assert requests[(("path", "/execute"), ("status", "429"), ("type", "RateLimitExceeded"))] == 2
    durations = {s.name: s.value for s in families["pyexec_run_duration_seconds"].samples if "le" not in s.labels}
    assert durations["pyexec_run_duration_seconds_count"] == 5
    assert families["pyexec_slots"].samples[0].value == 5
    assert "secret-script" not in text and "127.0.0.1" not in text


def test_paths_of_callers_make_no_series(start_server) -> None:
    running = start_server()
    for place in range(20):
        with pytest.raises(ServiceError):
            running.client.call("GET", "/made-up-%d" % place)
    await_that(lambda: 'path="other",type="NotFound",status="404"} 20' in _get(running, "/metrics")[1])
    assert "made-up" not in _get(running, "/metrics")[1]


def test_about_says_what_is_configured(start_server) -> None:
    about = json.loads(_get(start_server(wall_s=3, modules="math json"), "/about")[1])
    assert about["limits"]["wall_s"] == 3 and about["modules"] == ["math", "json"]
    assert {layer["name"] for layer in about["layers"]} >= {"seccomp", "landlock"}
    assert set(about["limits"]) <= {setting.name for setting in config.SETTINGS}
