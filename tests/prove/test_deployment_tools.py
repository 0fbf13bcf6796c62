"""The files of deploy/ and render.yaml, each checked by the tool that it is for. Debian: docker-compose, haproxy."""

from __future__ import annotations

import os
import re
import subprocess
import sys

from support import ROOT

DEPLOY = os.path.join(ROOT, "deploy")
BIN = os.path.dirname(sys.executable)
MOST_EXPOSED = 4.2  # by `systemd-analyze security`; what is left is what would weaken the sandbox, and the network


def _run(*command: str, **environment: str) -> str:
    done = subprocess.run(
        command,
        env=dict(os.environ, **environment),
        cwd="/",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_the_unit_is_valid(tmp_path) -> None:
    """With what it starts in place, under another root; every key is known, and nothing is said."""
    python = tmp_path / "opt/pyexec/.venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\n")
    python.chmod(0o755)
    units = tmp_path / "etc/systemd/system"
    units.mkdir(parents=True)
    with open(os.path.join(DEPLOY, "pyexec.service"), encoding="utf-8") as file:
        (units / "pyexec.service").write_text(file.read())
    for name in ("sysinit", "basic", "multi-user", "shutdown", "network-online"):
        (units / (name + ".target")).write_text("[Unit]\n")
    (units / "system.slice").write_text("[Unit]\n")
    said = _run("systemd-analyze", "verify", "--root=" + str(tmp_path), "--man=no", "pyexec.service")
    assert "pyexec.service" not in said, said


def test_the_unit_gives_away_little() -> None:
    said = _run("systemd-analyze", "security", "--offline=true", os.path.join(DEPLOY, "pyexec.service"))
    found = re.search(r"Overall exposure level for pyexec.service: ([0-9.]+)", said)
    assert found and float(found.group(1)) <= MOST_EXPOSED, said


def test_compose_is_valid() -> None:
    path = os.path.join(DEPLOY, "compose.yaml")
    shown = _run("docker-compose", "-f", path, "config", NAME="pyexec.example.org", PYTHON_EXE_KEY="k")
    assert "PYEXEC_ALLOWED_HOSTS: pyexec.example.org" in shown and "PYTHON_EXE_KEY: k" in shown
    _run(os.path.join(BIN, "check-jsonschema"), "--builtin-schema", "vendor.compose-spec", path)
