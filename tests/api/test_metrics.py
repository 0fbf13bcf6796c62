"""/metrics, against what the server has done."""

from __future__ import annotations

import socket

from processes import await_that
from prometheus_client.parser import text_string_to_metric_families

from pyexec.api import metrics
from pyexec.client import ServiceError


def test_received_bytes_are_those_that_came(start_server) -> None:
    running = start_server()
    with socket.create_connection(("127.0.0.1", running.port)) as connection:
        connection.sendall(
            b"POST /execute HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n"
        )
        assert b" 413 " in connection.recv(100)
    with socket.create_connection(("127.0.0.1", running.port)) as connection:
        connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        text = b"".join(iter(lambda: connection.recv(65536), b""))
    assert b'pyexec_body_bytes_total{way="received"} 0' in text


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
        await_that(lambda line=line: line in running.get("/metrics")[1])
    kind, text = running.get("/metrics")
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert kind.startswith("text/plain; version=0.0.4")
    requests = {tuple(sorted(s.labels.items())): s.value for s in families["pyexec_requests"].samples}
    assert requests[(("path", "/execute"), ("status", "200"), ("type", "ok"))] == 1
    assert requests[(("path", "/execute"), ("status", "400"), ("type", "ForbiddenImportError"))] == 4
    assert requests[(("path", "/execute"), ("status", "429"), ("type", "RateLimitExceeded"))] == 2
    durations = {s.name: s.value for s in families["pyexec_run_duration_seconds"].samples if "le" not in s.labels}
    assert durations["pyexec_run_duration_seconds_count"] == 5
    assert families["pyexec_slots"].samples[0].value == 5
    assert families["pyexec_waiting_children"].samples[0].value <= 5
    refusals = {s.labels["limit"]: s.value for s in families["pyexec_refusals"].samples}
    assert refusals == dict(dict.fromkeys(metrics.LIMITS, 0), minute=2)
    assert "secret-script" not in text and "127.0.0.1" not in text
