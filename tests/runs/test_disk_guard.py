"""The guard of a disk that runs share: whoever has taken most is ended, nothing starts on a full disk, nobody else pays."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from types import SimpleNamespace
from typing import Any, Iterator

import pytest
from processes import SYS_PTRACE, await_that, has_capability
from servers import RunningServer
from support import ROOT, ask, exchange, execute, parse_replies, request
from wrappers import DOCKER, TMPFS_BYTES, directory_on_tmpfs

from pyexec.client import ServiceError
from pyexec.runs.disk_guard import Guard

GIB = 1 << 30


def _disk(monkeypatch: pytest.MonkeyPatch, size: int, free: int) -> SimpleNamespace:
    room = SimpleNamespace(f_blocks=size >> 12, f_bavail=free >> 12, f_frsize=1 << 12)
    monkeypatch.setattr(os, "fstatvfs", lambda fd: room)
    return room


@pytest.mark.parametrize(
    ("size", "free", "short"),
    [
        (100 * GIB, GIB, False),
        (100 * GIB, GIB - 4096, True),
        (GIB, GIB // 10 + 4096, False),
        (GIB, GIB // 10 - 4096, True),
        (0, 0, False),  # a file system that tells nothing of its size
    ],
)
def test_the_floor_is_the_smaller_of_a_tenth_and_a_gibibyte(monkeypatch, size, free, short) -> None:
    _disk(monkeypatch, size, free)
    assert Guard(0).short() is short


def test_one_at_a_time_the_largest_first_and_only_the_first_is_at_fault(monkeypatch) -> None:
    room = _disk(monkeypatch, GIB, GIB)
    guard = Guard(0)
    for run, taken in (("small", 1), ("large", 9), ("middle", 5)):
        assert guard.look(run, taken) is None
    room.f_bavail = 0
    assert guard.look("small", 1) is None and guard.look("middle", 5) is None
    first = guard.look("large", 9)
    assert first is not None and (first.at_fault, first.taken_bytes) == (True, 9)
    guard.ended("large")
    assert guard.look("middle", 5) is None  # what the last one had isn't free yet
    guard.removed("large")
    second = guard.look("middle", 5)
    assert second is not None and not second.at_fault
    guard.ended("middle")
    guard.removed("middle")
    room.f_bavail = room.f_blocks
    assert guard.look("small", 1) is None
    room.f_bavail = 0
    again = guard.look("small", 1)
    assert again is not None and again.at_fault  # another shortage, of which it has taken most


def test_a_run_that_cannot_be_seen_into_is_held_to_have_what_nobody_else_has(monkeypatch) -> None:
    room = _disk(monkeypatch, GIB, GIB)
    guard = Guard(0)
    assert guard.look("open", 100 << 20) is None and guard.look("hidden", 1 << 20, True) is None
    room.f_bavail = 0
    assert guard.look("open", 100 << 20) is None
    victim = guard.look("hidden", 1 << 20, True)
    assert victim is not None and (victim.at_fault, victim.taken_bytes) == (True, GIB - (100 << 20))


def test_of_several_that_cannot_be_seen_into_none_is_known_to_be_at_fault(monkeypatch) -> None:
    room = _disk(monkeypatch, GIB, GIB)
    guard = Guard(0)
    for run, taken in (("open", 100 << 20), ("a", 1 << 20), ("b", 2 << 20)):
        assert guard.look(run, taken, run != "open") is None
    room.f_bavail = 0
    assert guard.look("open", 100 << 20) is None and guard.look("a", 1 << 20, True) is None
    victim = guard.look("b", 2 << 20, True)
    assert victim is not None and not victim.at_fault


# On a disk of 200 MiB, of which all that lies in the base takes some, and a stranger's file of OTHERS MiB the rest.
PROGRAM = """
import os, sys, threading, time
sys.path.insert(0, sys.argv[1])
from types import SimpleNamespace
from pyexec.config import Config
from pyexec.errors import SandboxError, ServerBusy
from pyexec.job import Job
from pyexec.runs import disk_guard, workdir
from pyexec.sandbox import Sandbox

MIB = 1 << 20
OTHERS = [0]
HELD = [0]

def room(fd):
    HELD[0] = workdir.usage(fd, 100000).size_bytes // MIB
    used = HELD[0] + OTHERS[0]
    return SimpleNamespace(f_blocks=200, f_bavail=max(0, 200 - used), f_frsize=MIB)

fstatvfs, os.fstatvfs = os.fstatvfs, room
if sys.argv[3] == "unguarded":
    disk_guard.Guard.look = lambda self, *run: [self.short()][1:] or None

CODE = '''
import time
for n in range(%d):
    with open(str(n), "wb") as f: f.write(bytes(1 << 20))
time.sleep(%g)
print("done")
'''
said = {}

def run(name, mib, seconds):
    try:
        outcome = sandbox.run(Job(CODE % (mib, seconds)))
        said[name] = outcome.verdict, outcome.resource, outcome.limit // MIB // 10, outcome.stdout
        if outcome.crowding_bytes:
            said[name] += (outcome.crowding_bytes // MIB // 10,)
    except (SandboxError, ServerBusy) as error:
        said[name] = type(error).__name__, str(error).partition(";")[0]

with Sandbox(Config.of(max_runs=4, wall_s=20, uid_base=int(sys.argv[4]))) as sandbox:
    assert not sandbox.report.own_tree and sandbox.state()["ready"]
    threads = [threading.Thread(target=run, args=each) for each in (("a", 20, 9), ("b", 30, 9), ("c", 55, 9))]
    for thread in threads:
        thread.start()
    while HELD[0] < 105:  # all have written what they will; the watch keeps looking
        time.sleep(0.01)
    time.sleep(0.5)  # and has looked at each since, on a busy machine too
    OTHERS[0] = int(sys.argv[2])
    for thread in threads:
        thread.join()
    OTHERS[0] = 190
    assert not sandbox.state()["ready"]
    run("late", 1, 0)
    OTHERS[0] = 0
    assert sandbox.state()["ready"]
    run("then", 1, 0)
for name in sorted(said):
    print(name, *said[name])
"""
REST = ["late ServerBusy The server's disk is nearly full.", "then ended  0 b'done\\n'"]
DONE = "%s ended  0 b'done\\n'"
LOST = "%s SandboxError the disk of --work-dir is nearly full"


@pytest.mark.parametrize(
    ("others", "guarded", "expected"),
    [
        (0, "guarded", [DONE % "a", DONE % "b", DONE % "c"]),
        (90, "guarded", [DONE % "a", DONE % "b", "c resource disk 6 b'' 5"]),
        (140, "guarded", [DONE % "a", LOST % "b", "c resource disk"]),
        (90, "unguarded", [DONE % "a", DONE % "b", DONE % "c"]),  # the control: each is within its own limits
    ],
)
def test_who_has_taken_most_is_ended(others, guarded, expected) -> None:
    uids = str(30000000 + 10 * os.getpid())
    command = [*DOCKER, sys.executable, "-c", PROGRAM, ROOT, str(others), guarded, uids]
    done = subprocess.run(command, capture_output=True, timeout=60, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 5 and all(line.startswith(start) for line, start in zip(lines, expected + REST)), lines


# Given the command of the server, whose disk is full while a certain file exists.
SERVER = """
import os, sys
from pyexec.cli import main as cli
from pyexec.runs import disk_guard
disk_guard.Guard.short = lambda self: os.path.exists(%r)
sys.exit(cli.main(sys.argv[4:]))
"""


def _health(running: Any) -> int:
    (reply,) = parse_replies(exchange(running.port, request("GET", "/health")))
    return reply.status


def test_on_a_full_disk_nothing_starts_and_it_costs_nothing(start_server: Any, tmp_path: Any) -> None:
    """503 from /health, for the balancer, and from /execute, with the quota as it was."""
    full = tmp_path / "full"
    running = start_server([*DOCKER, sys.executable, "-c", SERVER % str(full)], rate_per_minute=100)
    assert _health(running) == 200
    full.touch()
    assert _health(running) == 503
    refused = ask(running.port, execute({"code": "print(1)"}))
    assert (refused.status, refused.error_type) == (503, "ServerBusy")
    assert refused.document["error_details"]["message"] == "The server's disk is nearly full."
    assert refused.document["user_info"]["requests_today"] == 0
    assert ask(running.port, request("GET", "/metrics")).body.count(b'pyexec_refusals_total{limit="disk"} 1\n') == 1
    full.unlink()
    assert ask(running.port, execute({"code": "print(1)"})).document["user_info"]["requests_today"] == 1
    assert _health(running) == 200


# Each deletes what it has written and goes on holding it: open, or with a page of it mapped and no descriptor.
HOLD = """
import time
from pathlib import Path
held = []
for n in range(%d):
    file = open("x", "w+b")
    for _ in range(58):
        file.write(bytes(1 << 20))
    file.flush()
    if %r:
        import numpy
        native = numpy.ctypeslib.ctypes.CDLL(None)  # what Python maps it holds open, too
        native.mmap(None, 4096, 1, 1, file.fileno(), None)
        file.close()
    else:
        held.append(file)
    Path("x").unlink()
time.sleep(3)
print("held")
"""
INNOCENT = """
import time
from pathlib import Path
Path("mine").write_bytes(bytes(8 << 20))
time.sleep(4)
print("done")
"""


@pytest.fixture(scope="module")
def on_a_tmpfs() -> Iterator[RunningServer]:
    """As in a container with `--tmpfs`, which has a size of 192 MiB."""
    with directory_on_tmpfs() as (work_dir, before):
        limits = {"rate_per_minute": 1000, "rate_per_day": 1000, "max_runs": 3, "work_dir": work_dir}
        running = RunningServer(limits, before + DOCKER)
        yield running
        assert running.stop() == 0, running.log


@pytest.mark.parametrize(
    ("files", "mapped", "told"),
    [
        (2, False, "Execution exceeded its limit of 64 MiB of disk."),
        (3, True, "The server's disk is nearly full, and no other run had taken as much of it as this one: "),
    ],
)
def test_whoever_holds_deleted_files_pays_for_them_and_nobody_else(on_a_tmpfs, files, mapped, told) -> None:
    said = []

    def innocent() -> None:
        try:
            said.append(on_a_tmpfs.client.execute(INNOCENT).stdout)
        except ServiceError as error:
            said.append(str(error))

    thread = threading.Thread(target=innocent)
    thread.start()
    await_that(lambda: on_a_tmpfs.client.health()["active_runs"] == 1)
    time.sleep(0.5)
    if os.geteuid() == 0 and not has_capability(SYS_PTRACE):
        # Nobody can tell who holds what: below the limit of all runs nothing happens. Beyond it the only run that there
        # is pays, if what it has of files by name already is much; otherwise it gets a 500.
        thread.join()
        if files * (58 << 20) < TMPFS_BYTES * 0.9:
            assert on_a_tmpfs.client.execute(HOLD % (files, mapped)).success
        else:
            with pytest.raises(ServiceError, match="InternalServerError|no other run had taken as much of it"):
                on_a_tmpfs.client.execute(HOLD % (files, mapped))
    else:
        with pytest.raises(ServiceError) as caught:
            on_a_tmpfs.client.execute(HOLD % (files, mapped))
        details = caught.value.document["error_details"]
        assert (details["type"], details["resource"], details["limit"]) == ("ResourceLimitError", "disk", 64 << 20)
        assert details["message"].startswith(told)
    thread.join()
    assert said == ["done\n"]


def test_what_is_deleted_and_held_within_the_limit_is_no_fault(on_a_tmpfs) -> None:
    assert on_a_tmpfs.client.execute(HOLD % (1, False)).stdout == "held\n"
    assert on_a_tmpfs.client.execute(HOLD % (1, True)).stdout == "held\n"
