"""The official clients of the Model Context Protocol, over HTTP and standard streams, and its conformance suite."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import Any, Dict, Iterator, List, Set, Tuple

import pytest
from servers import RunningServer

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "mcp")
sys.path.insert(0, HERE)

import installed  # noqa: E402

REVISIONS = {"modern": "2026-07-28", "legacy": "2025-11-25"}
# How a client is started, and the revision that it then speaks; None where it doesn't tell.
CLIENTS: Dict[str, Tuple[List[str], Any]] = {
    "python 2, auto": (["python2.py", "auto"], "2026-07-28"),
    "python 2, legacy": (["python2.py", "legacy"], "2025-11-25"),
    "python 2, 2026-07-28": (["python2.py", "2026-07-28"], "2026-07-28"),
    "python 1": (["python1.py"], "2025-11-25"),
    "typescript 2, auto": (["typescript.mjs", "2", "auto"], "2026-07-28"),
    "typescript 2, legacy": (["typescript.mjs", "2", "legacy"], "2025-11-25"),
    "typescript 1": (["typescript.mjs", "1"], None),
}


@pytest.fixture(scope="module")
def plenty() -> Iterator[RunningServer]:
    """A server with limits that no client reaches."""
    running = RunningServer({"rate_per_minute": 1000000, "rate_per_day": 1000000, "max_runs": 8})
    yield running
    assert running.stop() == 0 and "fault" not in running.log


def _command(client: List[str], target: Any) -> List[str]:
    name, *more = client
    script, place = os.path.join(HERE, name), json.dumps(target)
    if name == "typescript.mjs":
        return [installed.node(), script, installed.node_directory(), more[0], place, *more[1:]]
    return [installed.python_with(name[len("python")]), script, place, *more]


@pytest.mark.parametrize("how", ["http", "stdio"])
@pytest.mark.parametrize("name", CLIENTS)
def test_a_client_lists_calls_and_understands(plenty: RunningServer, name: str, how: str) -> None:
    client, version = CLIENTS[name]
    uid_base = str(60000000 + 10 * os.getpid())
    command = [sys.executable, "-m", "pyexec", "mcp", "--uid-base", uid_base]
    target = plenty.url + "/mcp" if how == "http" else command
    done = subprocess.run(
        _command(client, target), env=installed.environment(), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "version": version,
        "tools": ["execute_python"],
        "text": "hi\na.png: 75 bytes, shown below",
        "picture": b"\x89PNG\r\n\x1a\n".hex(),
        "failed": [True, "ZeroDivisionError: division by zero"],
        "wrong": [True, "ValidationError: There is no argument 'script'. Call it 'code'."],
        "together": ["0", "1", "2", "3"],
    }
    assert "Failed to parse" not in done.stderr  # what the clients say of a line that is no message


def _expected(revision: str) -> Set[Tuple[str, str]]:
    with open(os.path.join(HERE, "expected-failures"), encoding="utf-8") as file:
        rows = [line.split() for line in file if not line.startswith("#")]
    assert all(row[3] in ("fixture", "tools", "tasks", "sessions") for row in rows)
    return {(row[1], row[2]) for row in rows if row[0] == revision}


@pytest.mark.parametrize("revision", REVISIONS.values())
def test_the_conformance_suite_finds_what_is_expected(plenty: RunningServer, revision: str, tmp_path: Any) -> None:
    suite = os.path.join(installed.node_directory(), "node_modules/@modelcontextprotocol/conformance/dist/index.js")
    command = [installed.node(), suite, "server", "--url", plenty.url + "/mcp", "--requirements", revision]
    done = subprocess.run([*command, "-o", str(tmp_path)], capture_output=True, text=True, timeout=300)
    found: Set[Tuple[str, str]] = set()
    passed: Set[Tuple[str, str]] = set()
    for directory in os.listdir(tmp_path):
        scenario = re.sub(r"^server-(.*)-\d{4}-\d\d-\d\dT[\dA-Z-]+$", r"\1", directory)
        with open(tmp_path / directory / "checks.json", encoding="utf-8") as file:
            for check in json.load(file):
                (passed if check["status"] in ("SUCCESS", "INFO", "SKIPPED") else found).add((scenario, check["id"]))
    assert found == _expected(revision), done.stdout[-3000:]
    here = ("tools-list", "server-stateless", "http-header-validation", "dns-rebinding-protection", "caching")
    there = ("tools-list", "server-initialize", "ping", "dns-rebinding-protection")
    for scenario in here if revision == REVISIONS["modern"] else there:
        assert [check for name, check in passed if name == scenario], scenario
