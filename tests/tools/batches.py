"""Scripts for batches: many of every kind, each with the answer that it must have, run while everything is killed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from typing import Any, Callable, Dict, List, Tuple

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
Expected = Dict[str, Tuple[str, int]]


def _stdout(text: str) -> Callable[[Any], bool]:
    return lambda row: row["execution_details"]["success"] and row["execution_details"]["stdout"] == text


def _error(kind: str) -> Callable[[Any], bool]:
    return lambda row: row["status"] == "error" and row["error_details"]["type"] == kind


# Of each kind: its body for the n-th script, and whether an answer is right.
MANY: Dict[str, Tuple[Callable[[int], Dict[str, Any]], Callable[[int], Callable[[Any], bool]]]] = {
    "prints": (lambda n: {"code": "print(%d ** 2)" % n}, lambda n: _stdout("%d\n" % n**2)),
    "reads": (lambda n: {"code": "print(input())", "stdin_data": str(n)}, lambda n: _stdout("%d\n" % n)),
    "computes": (
        lambda n: {"code": "import numpy\nprint(numpy.arange(%d).sum())" % n},
        lambda n: _stdout("%d\n" % (n * (n - 1) // 2)),
    ),
    "works": (lambda n: {"code": "sum(range(10 ** 6))\nprint(%d)" % n}, lambda n: _stdout("%d\n" % n)),
    "raises": (
        lambda n: {"code": "raise ValueError(%d)" % n},
        lambda n: lambda row: "ValueError: %d\n" % n in row["execution_details"]["stderr"],
    ),
    "exits": (
        lambda n: {"code": "import sys\nsys.exit(%d)" % (1 + n % 100)},
        lambda n: lambda row: row["execution_details"]["exit_code"] == 1 + n % 100,
    ),
    "writes": (
        lambda n: {"code": "open('a.txt', 'w').write('x' * %d)" % n, "return_files": ["*.txt"]},
        lambda n: lambda row: row["execution_details"]["output_files"]["a.txt"]["size_bytes"] == n,
    ),
    "imports": (lambda n: {"code": "import socket  # %d" % n}, lambda n: _error("ForbiddenImportError")),
    "malformed": (lambda n: {"cod": str(n)}, lambda n: _error("ValidationError")),
    "crashes": (
        lambda n: {"code": "import random\nrandom._os.kill(random._os.getpid(), 11)  # %d" % n},
        lambda n: lambda row: row["execution_details"]["exit_code"] != 0,
    ),
    "fills": (
        lambda n: {"code": "x = bytearray(1 << 31)  # %d" % n},
        lambda n: lambda row: "MemoryError" in row["execution_details"]["stderr"],
    ),
}


def write_jobs(path: Any, count: int) -> Expected:
    """Write a file of so many jobs; return the kind of each and its number, by id."""
    kinds = list(MANY)
    expected: Expected = {}
    with open(path, "w", encoding="utf-8") as file:
        for number in range(count):
            kind = kinds[number % len(kinds)]
            id = "%s-%d" % (kind, number)
            expected[id] = kind, number
            file.write(json.dumps(dict(MANY[kind][0](number), id=id)) + "\n")
    return expected


def check(path: Any, expected: Expected) -> Counter[str]:
    """Check that each id has one line with the right answer; return how many there are of each status."""
    with open(path, encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    assert len(rows) == len({row["id"] for row in rows})
    assert {row["id"] for row in rows} == set(expected)
    wrong = []
    for row in rows:
        kind, number = expected[row["id"]]
        if row["status"] == "lost" or not MANY[kind][1](number)(row):
            wrong.append(row)
    assert wrong == []
    return Counter(str(row["status"]) for row in rows)


def run_under_fire(jobs: str, out: str, every_s: float, most_kills: int) -> int:
    """Run a batch to its end, while now and then one of its processes is killed, and every fourth time the batch itself.

    Return how often that was. Raises AssertionError: the batch did not end well.
    """
    command = [sys.executable, "-m", "pyexec", "batch", jobs, "--out", out, "--wall-s", "10"]
    command += ["--uid-base", str(60000000 + 10 * (os.getpid() % 1000000))]
    environment = dict(os.environ, PYTHONPATH=ROOT)
    chance, killed = random.Random(5), 0
    while True:
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
            again = False
            while process.poll() is None and killed < most_kills and not again:
                time.sleep(every_s)
                killed += 1
                again = killed % 4 == 0
                victims = [process.pid] if again else _below(process.pid)
                if victims:
                    _kill(chance.choice(victims))
            said = process.communicate()[1]
            if not again:
                assert process.returncode == 0, said
                return killed


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # it has ended by itself


def _below(pid: int) -> List[int]:
    """Return the processes below one."""
    found: List[int] = []
    for task in _listed("/proc/%d/task" % pid):
        try:
            with open("/proc/%d/task/%s/children" % (pid, task)) as file:
                for child in map(int, file.read().split()):
                    found += [child, *_below(child)]
        except OSError:
            continue
    return found


def _listed(path: str) -> List[str]:
    try:
        return os.listdir(path)
    except OSError:
        return []
