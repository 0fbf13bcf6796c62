"""Faults: a zygote or a child killed, the server killed, a layer that fails. A well-formed error, then service.

A layer is made to fail by refusing one of its system calls to the whole server, after the call that probes it passed:
then no script may run. `PYTHON -m pyexec` must say which layer it was, and end with 1.
"""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from typing import List, Optional

import pytest
from processes import (
    PLAIN,
    WITH_LIBRARIES,
    anyone_left,
    await_that,
    descendants,
    parents,
    settled,
    state,
    threads,
    zygote,
)
from servers import ADMIN_KEY, restarts, works
from support import ROOT, in_threads
from wrappers import DOCKER, refusing

from pyexec.client import Client, ServiceError


def _children(pid: int) -> List[int]:
    """Return the plain public children that wait or run; an admin's has a second process."""
    table = parents()
    plain = zygote(pid, PLAIN)
    return sorted(child for child, parent in table.items() if parent == plain and child not in table.values())


def _kill_zygote(running, which: bool = PLAIN) -> None:
    killed = zygote(running.process.pid, which)
    os.kill(killed, signal.SIGKILL)
    await_that(lambda: not anyone_left([killed]))


@pytest.mark.parametrize("which", [PLAIN, WITH_LIBRARIES])
def test_zygote_killed_while_idle(start_server, which) -> None:
    running = start_server()
    _kill_zygote(running, which)
    await_that(lambda: restarts(running) == 1)
    assert running.client.execute("print(1)").stdout == "1\n"
    assert running.client.execute("import numpy; print(2)").stdout == "2\n"
    assert "starting another" in running.log


def test_callers_wait_for_the_next_zygote(start_server) -> None:
    running = start_server()
    _kill_zygote(running)
    assert running.client.execute("print(2)").stdout == "2\n"


def test_zygote_killed_in_the_middle_of_runs(start_server) -> None:
    running = start_server(max_runs=3)
    timer = threading.Timer(2, _kill_zygote, [running])  # each has its job by then
    timer.start()
    results = in_threads(3, lambda _: running.client.execute("import time; time.sleep(5)"))
    timer.join()
    for error in results:
        assert isinstance(error, ServiceError) and (error.status, error.type) == (500, "InternalServerError")
        fault = error.document["error_details"]["id"]
        assert fault in running.log and fault in error.document["error_details"]["message"]
        assert "raceback" not in str(error.document)
    # Our fault: it cost nobody anything, and no slot is lost.
    assert in_threads(3, lambda n: running.client.execute("print(%d)" % n).stdout) == ["0\n", "1\n", "2\n"]
    assert running.client.execute("print(3)").document["user_info"]["requests_today"] == 4
    assert running.client.health()["active_runs"] == 0


def test_zygote_killed_again_and_again(start_server) -> None:
    running = start_server()
    for round_ in range(4):
        await_that(lambda expected=round_: restarts(running) == expected)
        _kill_zygote(running)
        assert running.client.execute("print(%d)" % round_).stdout == "%d\n" % round_


def test_child_killed_from_outside(start_server) -> None:
    running = start_server(max_runs=1)
    child = max(_children(running.process.pid))
    timer = threading.Timer(2, os.kill, [child, signal.SIGKILL])
    timer.start()
    with pytest.raises(ServiceError) as caught:
        running.client.execute("import time; print('so far'); time.sleep(5)")
    timer.join()
    # For nothing that it did: a fault of ours, or of this machine's, and not charged to the caller.
    assert (caught.value.status, caught.value.type) == (500, "InternalServerError")
    assert running.client.execute("print(1)").document["user_info"]["requests_today"] == 1


@pytest.mark.parametrize("caller", ["client", "admin"])
def test_a_run_that_the_clock_of_the_processor_ends(start_server, caller) -> None:
    """The server's own clock comes first, unless the server hangs; then the run's limit ends it, and it is its own."""
    running = start_server(max_runs=1, wall_s=3)
    found: List[ServiceError] = []
    # A second thread tells which process it is, and at once: on a busy machine it has little time for anything else.
    code = "import threading, time\nthreading.Thread(target=time.sleep, args=(999,)).start()\nwhile True: pass"

    def spin() -> None:
        try:
            # A busy machine takes minutes for seconds of processor time; the client must not be what gives up.
            key = ADMIN_KEY if caller == "admin" else None
            Client(running.url, key, timeout_s=600, max_wait_s=0).execute(code)
        except ServiceError as error:
            found.append(error)

    def threaded() -> List[int]:
        return [pid for pid in descendants(running.process.pid) if threads(pid) == 2]

    thread = threading.Thread(target=spin)
    thread.start()
    (spinning,) = await_that(threaded)
    running.process.send_signal(signal.SIGSTOP)
    await_that(lambda: not os.path.exists("/proc/%d" % spinning), 240)
    # Whoever has reaped it has said so once it sleeps again; else the server would wake up to a run whose time is up.
    await_that(lambda: all(state(pid) == "S" for pid in descendants(running.process.pid)))
    running.process.send_signal(signal.SIGCONT)
    thread.join()
    details = found[0].document["error_details"]
    assert (found[0].status, details["type"], details["resource"], details["limit"]) == (
        400,
        "ResourceLimitError",
        "cpu",
        3 * min(33, os.cpu_count()) + 2,  # public scripts may have 32 threads beside the first
    )
    assert "seconds of processor time" in details["message"]


def test_waiting_child_killed(start_server) -> None:
    running = start_server(max_runs=1)
    waiting = max(_children(running.process.pid))
    os.kill(waiting, signal.SIGKILL)
    await_that(lambda: not anyone_left([waiting]))
    assert running.client.execute("print(1)").stdout == "1\n"


@pytest.mark.parametrize(
    "code", ["print(1)", "import time; time.sleep(9)", "import subprocess; subprocess.run(['sleep', '9'])"]
)
def test_killed_server_leaves_nothing(start_server, code) -> None:
    running = start_server(max_runs=2)
    caller = threading.Thread(target=in_threads, args=(1, lambda _: running.admin.execute(code)))
    caller.start()
    if "print" in code:
        caller.join()
    else:
        await_that(lambda: running.client.health()["active_runs"] == 1)
    pids = settled(lambda: descendants(running.process.pid))
    assert len(pids) >= 3
    running.process.kill()
    running.process.wait()
    caller.join()
    await_that(lambda: not anyone_left(pids))


@pytest.mark.parametrize(
    "call,words",
    [
        ("landlock_restrict_self", "could not be confined: layer landlock"),
        ("landlock_add_rule", "landlock_add_rule"),
        ("capset", "could not be confined: layer identity"),
        ("setpriority", "could not be confined: layer rlimits"),
    ],
)
def test_no_script_runs_behind_a_layer_that_fails(call, words) -> None:
    command_line = [*refusing(call, number=errno.EIO), sys.executable, "-m", "pyexec", "run", "-"]
    done = subprocess.run(
        command_line,
        input=b"print('ran')",
        capture_output=True,
        env={"PYTHONPATH": ROOT, "PATH": ""},
    )
    assert (done.returncode, done.stdout) == (1, b"")
    assert words.encode() in done.stderr


def test_a_place_for_directories_that_is_moved_or_removed(start_server) -> None:
    """The server holds it by descriptor: moved away it serves on. Removed, each run is a 500, and none runs elsewhere."""
    with tempfile.TemporaryDirectory(prefix="work-dir-") as work_dir:
        os.chmod(work_dir, 0o755)
        running = start_server(DOCKER, max_runs=1, rate_per_minute=100, work_dir=work_dir)
        base = os.path.join(work_dir, os.listdir(work_dir)[0])
        os.rename(base, base + "-away")
        for number in range(3):
            assert running.client.execute("print(%d)" % number).stdout == "%d\n" % number
        while os.path.exists(base + "-away"):  # children come and go
            shutil.rmtree(base + "-away", ignore_errors=True)
        for _ in range(3):
            with pytest.raises(ServiceError) as caught:
                running.client.execute("print('ran')")
            assert (caught.value.status, "ran" in str(caught.value.document)) == (500, False)
        assert "layer workdir" in running.log
        assert running.stop() == 0


def test_descriptors_used_up(start_server) -> None:
    running = start_server(max_runs=2, rate_per_minute=1000, rate_per_day=1000)
    pid = running.process.pid
    old = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    for limit in (10, *range(36, 52)):  # from no connection at all to no memory files for a run
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, old[1]))
        for status in in_threads(3, lambda _: _status_within(running.port, 0.5)):
            assert status in (None, 200, 500, 503)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, old)
    await_that(lambda: works(running))
    await_that(lambda: running.client.health()["active_runs"] == 0)
    assert in_threads(2, lambda n: running.client.execute("print(%d)" % n).stdout) == ["0\n", "1\n"]


def _status_within(port: int, seconds: float) -> Optional[int]:
    """Return the status of an answer to a small script, None if none comes in time."""
    body = b'{"code": "print(1)"}'
    head = b"POST /execute HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), seconds) as connection:
        connection.settimeout(seconds)
        connection.sendall(head % len(body) + body)
        try:
            answer = connection.recv(65536)
        except OSError:
            return None
    return int(answer.split()[1]) if answer else None
