"""What is measured of a run while it runs: memory of all kinds, processes, threads, its directory."""

from __future__ import annotations

import io
import os
import threading
import types
from typing import Any

import pytest
from figures import record
from sandboxes import boot_with

from pyexec.client import ServiceError
from pyexec.config import Config
from pyexec.errors import SandboxError
from pyexec.job import ENDED, RESOURCE, Job
from pyexec.runs import processes, usage_watch
from pyexec.runs.child_handle import ChildHandle
from pyexec.sandbox import Sandbox


def test_shared_memory_counts(server) -> None:
    code = """
import mmap, os, time
for _ in range(6):
    if os.fork() == 0:
        memory = mmap.mmap(-1, 200 << 20)
        for place in range(0, len(memory), 4096):
            memory[place] = 1
        time.sleep(10)
time.sleep(10)
"""
    with pytest.raises(ServiceError) as caught:
        server.admin.execute(code)
    assert caught.value.document["error_details"]["resource"] == "memory"


def test_memory_of_all_processes_together_is_bounded(server) -> None:
    code = """
import os, time
for _ in range(5):
    if os.fork() == 0:
        x = bytearray(300 * 1024 * 1024)
        for place in range(0, len(x), 4096):
            x[place] = 1
        time.sleep(10)
time.sleep(10)
"""
    with pytest.raises(ServiceError) as caught:
        server.admin.execute(code)
    details = caught.value.document["error_details"]
    assert (caught.value.type, details["resource"], details["limit"]) == (
        "ResourceLimitError",
        "memory",
        512 * 1024 * 1024,
    )
    assert caught.value.document["execution_details"]["success"] is False


TABLES = """
import ctypes, time
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
for n in range(12000):
    place = libc.mmap(0x100000000000 + (n << 30), 4096, 1, 0x22, -1, 0)
    ctypes.c_char.from_address(place).value
time.sleep(2)
print('held')
"""


@pytest.mark.parametrize("admin", [False, True])
def test_page_tables_count(monkeypatch: pytest.MonkeyPatch, admin) -> None:
    """Each mapping far from the others takes two pages of tables, which no rlimit counts: 512 MiB for 65,530 of them."""
    config = Config.of(
        memory_bytes=64 << 20, wall_s=30, max_runs=1, modules="ctypes time", uid_base=30000000 + 10 * os.getpid()
    )
    with Sandbox(config) as sandbox:
        outcome = sandbox.run(Job(TABLES, admin=admin))
        assert (outcome.verdict, outcome.resource, outcome.limit) == (RESOURCE, "memory", 64 << 20), outcome
        monkeypatch.setattr(usage_watch.Watch, "_processes", lambda watch: None)
        assert sandbox.run(Job(TABLES, admin=admin)).stdout == b"held\n"  # the control: nothing else stops it
    record("memory attacks ended by the watch")


def test_a_run_that_the_watch_cannot_see_gets_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where /proc is mounted with hidepid: nothing would bound its memory. Nor does a server start there."""
    config = Config.of(max_runs=1, uid_base=30000000 + 10 * os.getpid())
    with Sandbox(config) as sandbox:
        monkeypatch.setattr(ChildHandle, "first_process", lambda child: None)
        monkeypatch.setattr(usage_watch, "_PAUSE_S", 20.0)
        assert sandbox.run(Job("print(1)")).stdout == b"1\n"  # over before anybody looks; it is killed at its end
        monkeypatch.setattr(usage_watch, "_PAUSE_S", 0.05)
        with pytest.raises(SandboxError, match="/proc hides them"):
            sandbox.run(Job("import time; time.sleep(3)"))
    with pytest.raises(SandboxError, match="does not start on this host. /proc hides"):
        Sandbox(config)


def test_a_run_may_use_the_whole_of_its_memory(server) -> None:
    """The watch, which counts more than the rlimit does, stays behind it."""
    code = "import time\nx = bytearray(480 << 20)\nfor n in range(0, len(x), 4096): x[n] = 1\ntime.sleep(0.3)\nprint('held')"
    for caller in (server.client, server.admin):
        assert caller.execute(code).stdout == "held\n"


def test_threads_of_admin_runs_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """973 of them ran where neither a uid nor a user namespace counts them."""
    code = """
import threading, time
threading.stack_size(128 << 10)  # the least that arm64 takes
done = threading.Event()
try:
    for n in range(%d):
        threading.Thread(target=done.wait, daemon=True).start()
except RuntimeError:
    pass
time.sleep(%s)
print(threading.active_count() - 1)
done.set()
"""
    # As on a host whose RLIMIT_NPROC counts nothing, or every process: set in the nursery, before there is a zygote.
    boot_with(monkeypatch, "from pyexec.kernel import rlimits; rlimits.counts_own_processes = lambda host: False; ")
    config = Config.of(max_runs=1, memory_bytes=4 << 30, uid_base=30000000 + 10 * os.getpid())
    with Sandbox(config) as sandbox:
        outcome = sandbox.run(Job(code % (300, 5), admin=True))
        assert (outcome.verdict, outcome.resource, outcome.limit) == (RESOURCE, "threads", 32), outcome
        as_promised = sandbox.run(Job(code % (32, 0.3), admin=True))
        assert (as_promised.verdict, as_promised.stdout) == (ENDED, b"32\n"), as_promised
        monkeypatch.setattr(usage_watch.Watch, "_processes", lambda watch: None)
        unwatched = sandbox.run(Job(code % (300, 0.3), admin=True))
        assert unwatched.stdout == b"300\n"  # the control


@pytest.mark.parametrize("admin, counted, quick", [(True, False, True), (True, True, False), (False, False, False)])
def test_where_nothing_counts_an_admins_tasks_those_of_the_machine_bring_the_look_forward(
    monkeypatch: pytest.MonkeyPatch, admin: bool, counted: bool, quick: bool
) -> None:
    tasks, now_s = [100], [7.0]
    monkeypatch.setattr(usage_watch, "time", types.SimpleNamespace(monotonic=lambda: now_s[0]))
    monkeypatch.setattr(processes, "tasks_of_machine", lambda: tasks[0])
    child: Any = types.SimpleNamespace(admin=admin, streams=(), directory=None)
    watch = usage_watch.Watch(child, Config.of().budget, own_pids=False, counted=counted)
    monkeypatch.setattr(watch, "_processes", lambda: None)
    assert (watch.pause_s < 0.05) is quick
    tasks[0] += 15
    # Elsewhere each pause is as long as the time between two looks.
    assert watch.is_due() is not quick
    tasks[0] += 1
    assert watch.is_due()
    assert watch.exceeded(ended=False) is None
    assert watch.is_due() is not quick  # counted from that look on
    now_s[0] += 0.06
    assert watch.is_due()


def test_the_tasks_of_the_machine_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    done = threading.Event()
    started = [threading.Thread(target=done.wait) for _ in range(300)]
    before = processes.tasks_of_machine()
    for each in started:
        each.start()
    with_them = processes.tasks_of_machine()
    done.set()
    for each in started:
        each.join()
    assert before > 0 and with_them > before + 150  # others come and go
    monkeypatch.setattr(processes, "open", lambda *_, **__: io.BytesIO(b"nonsense"), raising=False)
    assert processes.tasks_of_machine() == 0
