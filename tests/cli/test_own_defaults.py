"""The commands whose settings have defaults of their own: what the user gives wins, be it a server's default or not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any, Dict, List

import pytest
from rpc import call, legacy, texts
from support import ROOT

from pyexec.cli import batch, main, mcp
from pyexec.config import Config
from pyexec.kernel import libc

PROCESSORS = len(os.sched_getaffinity(0))
SERVERS = Config.of()
JOBS = ("batch", "jobs", "--out", "results")
BY_URL = (*JOBS, "--url", "http://127.0.0.1:1")
RUNS, CHARS = str(SERVERS.max_runs), str(SERVERS.code_chars)


@pytest.fixture
def configs(monkeypatch: pytest.MonkeyPatch) -> List[Config]:
    """The settings that each command is called with, in place of what it does."""
    found: List[Config] = []
    for name in [name for name in os.environ if name.startswith("PYEXEC_") or name == "PORT"]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(libc, "prctl", lambda *_: 0)  # this process stays open to others
    for command in (batch, mcp):
        monkeypatch.setattr(command, "main", lambda config, given: found.append(config) or 0)
    return found


@pytest.mark.parametrize(
    "arguments, variables, max_runs, code_chars",
    [
        (JOBS, {}, PROCESSORS, 100_000),
        ((*JOBS, "--max-runs", RUNS), {}, SERVERS.max_runs, 100_000),
        ((*JOBS, "--code-chars", CHARS), {}, PROCESSORS, SERVERS.code_chars),
        ((*JOBS, "--max-runs", "7", "--code-chars", "9"), {}, 7, 9),
        (JOBS, {"PYEXEC_MAX_RUNS": RUNS, "PYEXEC_CODE_CHARS": CHARS}, SERVERS.max_runs, SERVERS.code_chars),
        ((*JOBS, "--max-runs", "7"), {"PYEXEC_MAX_RUNS": RUNS}, 7, 100_000),
        (BY_URL, {}, SERVERS.max_runs, SERVERS.code_chars),
        ((*BY_URL, "--max-runs", "7"), {}, 7, SERVERS.code_chars),
        (("mcp",), {}, SERVERS.max_runs, 100_000),
        (("mcp", "--code-chars", CHARS), {}, SERVERS.max_runs, SERVERS.code_chars),
        (("mcp",), {"PYEXEC_CODE_CHARS": CHARS}, SERVERS.max_runs, SERVERS.code_chars),
        (("mcp", "--code-chars", "9"), {"PYEXEC_CODE_CHARS": CHARS}, SERVERS.max_runs, 9),
    ],
)
def test_what_is_given_wins_even_if_it_is_a_servers_default(
    configs, monkeypatch, arguments, variables, max_runs, code_chars
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert main.main(list(arguments)) == 0
    assert [(config.max_runs, config.code_chars) for config in configs] == [(max_runs, code_chars)]


def _pyexec(*arguments: str, stdin: bytes = b"", **variables: str) -> subprocess.CompletedProcess[bytes]:
    environment: Dict[str, str] = dict({"PYTHONPATH": ROOT, "PATH": os.environ["PATH"]}, **variables)
    command = [sys.executable, "-m", "pyexec", *arguments, "--uid-base", str(60000000 + 10 * (os.getpid() % 1000000))]
    return subprocess.run(command, input=stdin, capture_output=True, env=environment, timeout=300)


LONG = "#" * (SERVERS.code_chars + 1)
TOOL_SAYS, SAYS = "at most %s characters" % CHARS, "1 to %s characters" % CHARS


def test_a_batch_refuses_what_is_longer_than_it_was_told(tmp_path: Any) -> None:
    (tmp_path / "in").write_text(json.dumps({"id": "a", "code": LONG}) + "\n")
    out = tmp_path / "out"
    done = _pyexec("batch", str(tmp_path / "in"), "--out", str(out), "--max-runs", RUNS, "--code-chars", CHARS)
    assert done.returncode == 0, done.stderr
    assert SAYS in json.loads(out.read_text())["error_details"]["message"]


def test_the_tool_refuses_what_is_longer_than_it_was_told() -> None:
    message = json.dumps(legacy("tools/call", call(LONG))).encode("ascii")
    done = _pyexec("mcp", stdin=message, PYEXEC_CODE_CHARS=CHARS)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)["result"]
    assert result["isError"] and TOOL_SAYS in texts(result)[0]
