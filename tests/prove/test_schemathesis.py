"""schemathesis against a running server, with all its checks: what /openapi.json says is what happens, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Sequence

import pytest
from servers import ADMIN_KEY

HERE = os.path.dirname(os.path.abspath(__file__))
_COMMAND = [os.path.join(os.path.dirname(sys.executable), "schemathesis"), "run", "--checks", "all", "--no-color"]
_COMMAND += ["--generation-deterministic", "--max-examples", "100"]


@pytest.mark.parametrize("flags", [[], ["-H", "Authorization: Bearer " + ADMIN_KEY]], ids=["public", "admin"])
def test_schemathesis_finds_nothing(start_server, flags: Sequence[str], tmp_path) -> None:
    # Limits that are never met: 429 is a right answer to anything, and would hide the others.
    running = start_server(rate_per_minute=1000000, rate_per_day=1000000, wall_s=5)
    found = subprocess.run(
        _COMMAND + [running.url + "/openapi.json"] + [flag.encode("utf-8") for flag in flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=tmp_path,
        env=dict(os.environ, PYTHONPATH=HERE, SCHEMATHESIS_HOOKS="schema_hooks", PYTHONWARNINGS="default"),
        timeout=600,
    )
    text = found.stdout.decode("utf-8")
    assert found.returncode == 0, text[-6000:]
    for phase in ("Coverage", "Fuzzing"):
        assert "✅  " + phase in text, text
    assert "16 selected / 16 total" in text and "fault" not in running.log
    assert running.stop() == 0
