"""Leaks: after five thousand runs of every kind the server and all its processes hold what they held before.

As root, since the whole tree is looked into. On a host with mounts, and on one where directories lie on disk.
"""

from __future__ import annotations

import os
import tempfile
from typing import Any

import pytest
from figures import record
from processes import await_that, command, descendants, own_memory, settled_tree
from servers import RunningServer
from support import exchange, in_threads, request
from wrappers import DOCKER

from pyexec.client import ServiceError

RUNS, WARM_UP, CALLERS = 5000, 500, 5
GROWTH = 4 << 20  # bytes: less than one a thousand for each run, more than allocators move to and fro


def one(running: RunningServer, place: int) -> None:
    """Make one run, of a kind that depends on its number, and check its answer."""
    kind = place % 20
    client = running.client
    if kind == 1:
        result = client.execute("print(open('a').read() + input())", "in\n", {"a": b"x" * 50000}, ["a", "none"])
        assert result.files == {"a": b"x" * 50000} and result.stdout == "x" * 50000 + "in\n"
    elif kind == 2:
        assert refused(client, "import os") == "ForbiddenImportError"
    elif kind == 3:
        assert "ZeroDivisionError" in client.execute("1 / 0").stderr
    elif kind == 4:
        assert client.execute("import sys\nsys.exit(7)").exit_code == 7
    elif kind == 5:
        assert running.admin.execute("import os\nprint(os.getpid() > 0)").stdout == "True\n"
    elif kind == 6:
        code = "import os, subprocess\nsubprocess.Popen(['sleep', '60'])\nos.mkdir('d')\nopen('d/f', 'w').close()"
        assert running.admin.execute(code).success
    elif kind == 7:
        assert client.execute("import numpy\nprint(numpy.ones(9).sum())").stdout == "9.0\n"
    elif kind == 8:
        assert refused(client, "x" * 3000) == "ValidationError"
    elif kind == 9:
        assert b" 404 " in exchange(running.port, request("GET", "/nowhere"))
    elif kind == 10:
        assert (
            len(client.execute("for n in range(100): open(str(n), 'w').close()\nprint('x' * 200000)").stdout) == 200001
        )
    elif place % 1000 == 11:
        assert refused(client, "while True: pass") == "TimeoutError"
    elif place % 1000 == 31:
        assert not client.execute("x = bytearray(1 << 40)").success
    else:
        assert client.execute("print(%d)" % place).stdout == "%d\n" % place


def refused(client: Any, code: str) -> str:
    with pytest.raises(ServiceError) as caught:
        client.execute(code)
    return str(caught.value.type)


def many(running: RunningServer, first: int, count: int) -> None:
    faults = in_threads(
        CALLERS, lambda caller: [one(running, n) for n in range(first + caller, first + count, CALLERS)]
    )
    for fault in faults:
        if isinstance(fault, BaseException):
            raise fault


@pytest.mark.parametrize("wrapper,runs", [([], RUNS), (DOCKER, RUNS // 2)], ids=["mounts", "no mounts"])
def test_thousands_of_runs_leave_nothing(start_server, wrapper, runs) -> None:
    with tempfile.TemporaryDirectory(prefix="leaks-") as work_dir:
        os.chmod(work_dir, 0o755)
        temporary = os.path.join(work_dir, "tmp")
        os.mkdir(temporary)
        elsewhere = {"TMPDIR": temporary}
        running = start_server(
            wrapper, elsewhere, rate_per_minute=10**6, rate_per_day=10**6, wall_s=5, work_dir=work_dir
        )
        pid = running.process.pid
        many(running, 0, WARM_UP)
        before, memory = _state(running, work_dir)
        # Allocators may take more once, on a busy machine; a leak takes as much each time.
        for _ in range(3):
            many(running, WARM_UP, runs)
            await_that(lambda: running.client.health()["active_runs"] == 0)
            await_that(lambda: settled_tree(pid, work_dir, temporary).within(before[0]), 60)
            after, memory_after = _state(running, work_dir)
            assert after[0].within(before[0]) and after[1] == before[1], (before, after)
            grown = {name: memory_after[name] - memory[name] for name in memory}
            if all(growth < GROWTH for growth in grown.values()):
                break
            memory = memory_after
        assert all(growth < GROWTH for growth in grown.values()), (grown, memory)
        assert running.client.health()["template_restarts"] == 0
        assert "Traceback" not in running.log
        assert running.stop() == 0
        assert (os.listdir(work_dir), os.listdir(temporary)) == (["tmp"], []) and not [
            p for p in descendants(os.getpid()) if p == pid
        ]
    record("runs without a leak", runs)
    record("bytes grown in these", max(0, *grown.values()))


def _state(running: RunningServer, work_dir: str) -> Any:
    pid = running.process.pid
    inner = [os.path.join(work_dir, name) for name in os.listdir(work_dir)]
    tree = settled_tree(pid, work_dir, os.path.join(work_dir, "tmp"))
    # The names of the waiting children's directories go on counting: how many there are is what must not change.
    waiting = [len(os.listdir(path)) for path in inner]
    zygotes = [p for p in descendants(pid) if "zygote" in command(p) and descendants(p)]
    memory = {"server": own_memory(pid)}
    memory.update({"zygote %d" % place: own_memory(p) for place, p in enumerate(zygotes)})
    return (tree, waiting), memory
