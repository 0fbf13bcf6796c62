"""A batch on Ray: with one of two runners killed in the middle, every script has its answer once, and a right one."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any, List

from tests.prove_slow import places, report

NAME = "ray"
SCRIPTS = 300
_CUT_BYTES = 5  # off the last line, as if the machine had gone in the middle of it


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add none."""


def narrowed(options: argparse.Namespace) -> bool:
    """Return whether less was proved than the report says: never."""
    return False


def prove(options: argparse.Namespace) -> report.Section:
    """Run the batch, kill a runner, and run the same command again after a line was cut off."""
    with tempfile.TemporaryDirectory() as work:
        scripts, results = os.path.join(work, "scripts.jsonl"), os.path.join(work, "results.jsonl")
        _write(scripts)
        command = [sys.executable, os.path.join(places.ROOT, "deploy", "ray_batch.py"), scripts, results]
        command += ["--runners", "2", "--slots", "1", "--chunk", "10"]
        _interrupted(command, results, work)
        found = _read(results)
        with open(results, "r+", encoding="utf-8") as file:
            file.truncate(os.path.getsize(results) - _CUT_BYTES)
        said = _start(command, work).communicate(timeout=300)[0]
        once = sorted(result["id"] for result in found) == list(range(SCRIPTS))
        right = [result for result in found if result.get("stdout") == f"{result['id'] ** 2 + result['id']}\n"]
        again = "results: 1\n" in said and len(_read(results)) == SCRIPTS
    rows = [
        ("scripts", SCRIPTS),
        ("results, one of two runners killed", len(found)),
        ("right ones", len(right)),
        ("every id once", "yes" if once else "no"),
        ("started again after a line was cut off: run again", "that script alone" if again else "something else"),
    ]
    body = "Made by `deploy/ray_batch.py`.\n\n" + report.table(("what", "found"), rows)
    return report.Section("Batches on Ray", body, once and again and len(right) == SCRIPTS)


def _write(path: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        for number in range(SCRIPTS):
            code = f"import time\ntime.sleep(0.02)\nprint(int(input()) ** 2 + {number})"
            file.write(json.dumps({"id": number, "code": code, "stdin": str(number)}) + "\n")


def _read(path: str) -> List[Any]:
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def _start(command: List[str], work: str) -> subprocess.Popen[str]:
    environment = dict(os.environ, PYTHONPATH=places.ROOT)
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, cwd=work)


def _interrupted(command: List[str], results: str, work: str) -> None:
    """Run the batch and kill one of its two runners when a quarter of the results is there."""
    batch = _start(command, work)
    assert batch.stdout is not None
    pids = [int(word) for word in batch.stdout.readline().split()[1:]]
    assert len(pids) == 2, "no runners"
    while not os.path.exists(results) or len(_read(results)) < SCRIPTS // 4:
        assert batch.poll() is None, "it ended too early"
        time.sleep(0.1)
    os.kill(pids[0], signal.SIGKILL)
    said = batch.communicate(timeout=300)[0]
    assert batch.returncode == 0, said
