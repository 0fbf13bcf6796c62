"""What an independent attack found, so that it stays mended; each test is named after what was possible."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
from typing import List, Optional

import pytest
from conftest import ROOT, in_threads, left_by_runs
from processes import anyone_left, await_that, descendants, settled, state
from test_faults import PLAIN, WITH_LIBRARIES, _template

from pyexec import messages
from pyexec.api import request as contract
from pyexec.api.execute import Execute
from pyexec.api.metrics import Metrics
from pyexec.callers import identify
from pyexec.client import ServiceError
from pyexec.config import Config
from pyexec.errors import SandboxError, ValidationError
from pyexec.http1.answer import Asked
from pyexec.http1.memory import AnswerBudget
from pyexec.http1.message import Head
from pyexec.job import ENDED, Job
from pyexec.kernel import bpf, libc, policy, seccomp
from pyexec.limits import Limits
from pyexec.runs.handles import ChildHandle
from pyexec.runs.requirements import check_own_means
from pyexec.runs.slots import Slot
from pyexec.runs.workdirs_on_disk import Base
from pyexec.sandbox import Sandbox
from pyexec.zygote.loop import Loop, Prepared

REFUSE = [sys.executable, os.path.join(ROOT, "tests", "tools", "refuse.py"), "docker", "--"]


def test_callers_who_do_not_read_hold_no_child(start_server) -> None:
    running = start_server(rate_per_minute=100, max_runs=2, wall_s=5)
    code = "for name in 'ab': open(name, 'wb').write(bytes(8 << 20))"
    body = json.dumps({"code": code, "return_files": ["a", "b"]}).encode()
    head = b"POST /execute HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(
        body
    )
    silent = []
    for _ in range(4):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", running.port))
        connection.sendall(head + body)
        silent.append(connection)
    for connection in silent:
        assert connection.recv(12, socket.MSG_PEEK) in (b"HTTP/1.1 200", b"HTTP/1.1 503")  # answered, not taken
    started = time.monotonic()
    await_that(lambda: running.client.health()["active_runs"] == 0)
    assert in_threads(2, lambda n: running.client.execute("print(%d)" % n).stdout) == ["0\n", "1\n"]
    assert time.monotonic() - started < 15  # the answers may be taken for a minute
    for connection in silent:
        connection.close()


@pytest.mark.parametrize("lost", ["its process", "word of its process"])
def test_a_child_whose_process_is_not_known_is_not_waited_for(lost) -> None:
    """With no descriptor left for the pidfd it could not be killed; its slot was lost for as long as the server ran."""
    program = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
from pyexec import messages
from pyexec.config import Config
from pyexec.errors import SandboxError
from pyexec.job import Job
from pyexec.runs.handles import ChildHandle
from pyexec.sandbox import Sandbox

def fail(child, deadline):
    if child.pidfd >= 0:
        return await_ready(child, deadline)
    if sys.argv[2] == "its process":  # else its hello comes when nobody listens any more
        for fd in messages.receive(child.channel).descriptors:
            os.close(fd)
    time.sleep(0.2)
    ChildHandle.await_ready = await_ready
    raise SandboxError("a message was cut off")

ChildHandle.look = lambda child: None
with Sandbox(Config.of(max_runs=1, uid_base=int(sys.argv[3]))) as sandbox:
    assert not sandbox.report.own_tree
    for admin in (False, False, True):
        await_ready, ChildHandle.await_ready = ChildHandle.await_ready, fail
        sandbox.run(Job("1", admin=admin))
        print(sandbox.run(Job("print(6 * 7)", admin=admin)).stdout, ChildHandle.await_ready is await_ready)
    while sandbox._keeper.slots.free_count < 6 - 2:  # two wait; no slot is lost
        time.sleep(0.05)
"""
    uids = str(30000000 + 10 * os.getpid())
    command = [*REFUSE, sys.executable, "-c", program, ROOT, lost, uids]
    done = subprocess.run(command, capture_output=True, timeout=60, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "b'42\\n' True\n" * 3, "")


def test_files_opened_for_reading_are_not_emptied() -> None:
    for machine in ("x86_64", "aarch64"):
        program = seccomp.program(True, policy.EVERYTHING_CONTAINED, machine)
        number, arch = libc.number("openat", machine), bpf.AUDIT_ARCH[machine]
        flags = {os.O_RDONLY | os.O_TRUNC: False, os.O_WRONLY | os.O_TRUNC: True, os.O_RDWR | os.O_TRUNC: True, 0: True}
        for flag, allowed in flags.items():
            action = bpf.simulate(program, arch, number, [0, 0, flag | os.O_CREAT])
            assert (action == bpf.RET_ALLOW) == allowed


class _Gate:
    def __init__(self, refuses: bool = False) -> None:
        self.refuses, self.left = refuses, False

    def enter_for_next_fork(self) -> None:
        if self.refuses:
            raise OSError(28, "No space left on device")

    def leave(self) -> None:
        self.left = True


def _spawn_in_vain(gate: Optional[_Gate] = None) -> None:
    """Have a zygote, not started, make a child that it can't make; check that it goes on and that the server hears."""
    control, far_control = messages.pair()
    status, far_status = messages.pair()
    spare = [os.open("/dev/null", os.O_RDONLY) for _ in range(4)]
    badness, log = os.open("/dev/null", os.O_WRONLY), []
    gate = gate or _Gate()
    server = Loop(control, lambda order: Prepared(order, (), 1), None, gate, badness, log.append)  # type: ignore[arg-type]
    server.spawn(messages.encode_order(messages.Order(0, False)), (spare[0], far_status.detach(), *spare[1:]))
    assert not server._running and gate.left
    assert status.recv(10) == b""  # the server hears of it
    assert len(log) == 1
    for fd in spare:
        with pytest.raises(OSError):
            os.fstat(fd)
    os.close(badness)
    for end in (control, far_control, status):
        end.close()


def test_a_fork_that_fails_ends_one_child_and_not_the_template(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> int:
        raise BlockingIOError(11, "no process left")

    monkeypatch.setattr(os, "fork", fail)
    _spawn_in_vain()


def test_a_child_that_no_descriptor_is_left_for_is_killed_and_reaped(monkeypatch: pytest.MonkeyPatch) -> None:
    process = subprocess.Popen(["sleep", "60"])  # stands for the child

    def fork() -> int:
        return process.pid

    def fail(pid: int) -> int:
        raise OSError(24, "no descriptor left", "pidfd_open")

    monkeypatch.setattr(os, "fork", fork)
    monkeypatch.setattr(libc, "pidfd_open", fail)
    _spawn_in_vain()
    process.returncode = -signal.SIGKILL  # has been taken
    with pytest.raises(ChildProcessError):
        os.waitpid(process.pid, 0)


def test_a_zygote_that_reads_no_orders_holds_nobody() -> None:
    with Sandbox(Config.of(max_runs=1, uid_base=91000 + os.getpid() % 10000)) as sandbox:
        zygote = sandbox._keeper.rows.rows[0].zygote
        assert zygote is not None
        zygote.control.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # room for a few
        stopped = [zygote.nursery.process.pid] + descendants(zygote.nursery.process.pid)
        for pid in stopped:
            with contextlib.suppress(ProcessLookupError):  # a trial of something, at the start
                os.kill(pid, signal.SIGSTOP)
        made: List[ChildHandle] = []
        with pytest.raises(BlockingIOError):
            for number in range(50):
                made.append(ChildHandle(Slot(number, number), False))
                made[-1].order_from(zygote)
        for pid in stopped:
            with contextlib.suppress(ProcessLookupError):  # it has died with one before it
                os.kill(pid, signal.SIGKILL)
        for child in made:
            child.close()


def test_a_restart_with_fewer_layers_is_none() -> None:
    with Sandbox(Config.of(max_runs=1, uid_base=90000 + os.getpid() % 10000)) as sandbox:
        rows, report = sandbox._keeper.rows, sandbox.report
        fewer = tuple(dataclasses.replace(row, on=row.on and row.name != "landlock") for row in report.layers)

        class Poorer:
            def receive_report(self) -> None:
                self.report = dataclasses.replace(report, layers=fewer)

        with pytest.raises(SandboxError, match="landlock"):
            rows._check_nursery(Poorer())  # type: ignore[arg-type]
        assert rows.layers_on > {"landlock"}


@pytest.mark.parametrize(
    "code", ["os.fchmod(os.open('.', 0), 0)", "os.mkdir('d', 0)", "os.mkdir('d'); os.rename('d', 'e')"]
)
def test_directories_without_rights_are_removed(start_server, code) -> None:
    with tempfile.TemporaryDirectory(prefix="work-dir-") as work_dir:
        os.chmod(work_dir, 0o755)
        running = start_server(REFUSE, work_dir=work_dir, rate_per_minute=100)
        try:
            running.admin.execute("import os\n" + code)
        except ServiceError as error:
            assert error.type == "ResourceLimitError"  # a directory that hides what is in it counts as too many files
        assert running.client.execute("print(1)").stdout == "1\n"
        await_that(lambda: left_by_runs(work_dir) == [])
        assert running.stop() == 0 and os.listdir(work_dir) == []


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


def _served(running) -> bool:
    try:
        return running.client.execute("print(1)").stdout == "1\n"
    except ServiceError as error:
        assert error.type == "ServerBusy"
        return False


def test_half_a_header_keeps_nobody_out(start_server) -> None:
    running = start_server(max_connections=8)
    dawdling = [socket.create_connection(("127.0.0.1", running.port)) for _ in range(8)]
    for connection in dawdling:
        connection.sendall(b"POST /exec")
    # Whoever comes before the server has looked at them is told to come again, which is an answer as well.
    await_that(lambda: _served(running))
    for connection in dawdling:
        connection.close()


@pytest.mark.parametrize(
    "dawdle",
    [
        b"POST /execute HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{",
        b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 1500,
    ],
    ids=["half a body", "answers not taken"],
)
def test_nor_does_the_rest_of_a_request(start_server, dawdle) -> None:
    running = start_server(max_connections=8)
    dawdling = []
    for _ in range(8):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        connection.connect(("127.0.0.1", running.port))
        connection.sendall(dawdle)
        dawdling.append(connection)
    time.sleep(1)  # until the server waits for each
    assert running.client.execute("print(1)").stdout == "1\n"
    for connection in dawdling:
        connection.close()


def test_received_bytes_are_those_that_came(start_server) -> None:
    running = start_server()
    with socket.create_connection(("127.0.0.1", running.port)) as connection:
        connection.sendall(
            b"POST /execute HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n"
        )
        assert b" 413 " in connection.recv(100)
    with socket.create_connection(("127.0.0.1", running.port)) as connection:
        connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        text = b"".join(iter(lambda: connection.recv(65536), b""))
    assert b'pyexec_body_bytes_total{way="received"} 0' in text


def test_uids_of_users_are_not_taken() -> None:
    config = Config.of(max_runs=1, uid_base=65533)
    if os.geteuid() == 0:
        with pytest.raises(SandboxError, match="nobody"):
            check_own_means(config)
    else:  # an ordinary user's server gives no uids away
        check_own_means(config)


def test_without_a_way_to_end_runs_the_server_does_not_start(start_server) -> None:
    wrapper = REFUSE[:2] + ["--errno", "38", "pidfd_send_signal", "--"]
    with pytest.raises(AssertionError, match="runs could not be ended: pidfd_send_signal"):
        start_server(wrapper)


def test_a_process_of_an_admin_does_not_outlive_a_killed_server(start_server) -> None:
    running = start_server(REFUSE, max_runs=1)
    code = "import os, time\nif os.fork() == 0:\n    os.write(1, str(os.getpid()).encode())\ntime.sleep(60)"
    caller = threading.Thread(target=in_threads, args=(1, lambda _: running.admin.execute(code)))
    caller.start()
    await_that(lambda: running.client.health()["active_runs"] == 1)
    time.sleep(0.3)

    pids = descendants(running.process.pid)
    os.kill(running.process.pid, signal.SIGKILL)
    running.process.wait()
    caller.join()
    await_that(lambda: not anyone_left(pids))


@pytest.mark.parametrize("which", [PLAIN, WITH_LIBRARIES])
def test_a_process_of_an_admin_does_not_outlive_a_killed_template(start_server, which) -> None:
    running = start_server(REFUSE, max_runs=1)
    template = _template(running.process.pid, which)
    before = len(settled(lambda: descendants(template)))
    code = "import os, time\nif os.fork() == 0: time.sleep(300)\ntime.sleep(60)" + which * "\nimport numpy"

    def run(_: int) -> None:
        with contextlib.suppress(ServiceError):
            running.admin.execute(code)

    caller = threading.Thread(target=in_threads, args=(1, run))
    caller.start()
    await_that(
        lambda: len(descendants(template)) == before + 3
    )  # what it has forked; a supervisor and a script's process that wait next

    pids = descendants(template)
    os.kill(template, signal.SIGKILL)
    caller.join()
    await_that(lambda: not anyone_left(pids))
    assert running.client.execute("print(1)").stdout == "1\n"


def test_a_body_of_escapes_takes_little_memory() -> None:
    """The bracket check walked such a string with a pattern whose matcher keeps 60 times the string's size."""
    body = b'{"code": "1", "stdin_data": "' + b"\\n" * (1 << 20) + b'"}'
    tracemalloc.start()
    try:
        assert contract.parse(body, Config.of()).job.stdin == b"\n" * (1 << 20)
        assert tracemalloc.get_traced_memory()[1] < 10 * len(body)
    finally:
        tracemalloc.stop()


def test_a_script_that_only_says_that_it_has_ended_does_nothing_more() -> None:
    """It went on until its answer was out and the janitor came to it, on hosts without mounts with its disk uncounted.

    Runs that left many files kept the janitor from the next, and so on: 15 requests made 1.5 million files.
    """
    config = Config.of(max_runs=2, wall_s=60, uid_base=30000000 + 10 * os.getpid())
    code = "import random\nos = random._os\nos.write(3, b'X{\"code\":0}')\nwhile True: os.write(1, b'x')"
    with Sandbox(config) as sandbox, sandbox.execution(Job(code)) as outcome:
        assert outcome.verdict == ENDED
        await_that(lambda: not [pid for pid in descendants(os.getpid()) if state(pid) == "R"])


def test_a_pid_namespace_that_is_refused_ends_one_child_and_not_the_zygote() -> None:
    """Without memory, or past user.max_pid_namespaces, it ended the template and with it every run."""
    _spawn_in_vain(_Gate(refuses=True))


def test_answers_that_nobody_takes_hold_little_memory(start_server) -> None:
    """Each held a hundred megabytes for a minute, from any number of connections, when ten files were returned."""
    running = start_server(rate_per_minute=100, answers_bytes=40 << 20)
    code = "for name in 'abc': open(name, 'wb').write(bytes(8 << 20))"
    body = json.dumps({"code": code, "return_files": ["a", "b", "c"]}).encode()
    head = "POST /execute HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(
        body
    )
    connections = []
    for _ in range(3):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", running.port))
        connection.sendall(head.encode() + body)
        assert connection.recv(12) == b"HTTP/1.1 200"
        connections.append(connection)
    sizes = []
    for connection in reversed(connections):
        connection.settimeout(20)
        size = 0
        while True:
            got = len(connection.recv(1 << 20))
            size += got
            if not got or size > 30 << 20:
                break
        sizes.append(size > 30 << 20)
        connection.close()
    assert sizes == [True, False, False]  # the two that were left unread for longer made room


def test_one_wide_body_is_parsed_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Text with a character outside of ASCII takes up to four times its bytes, and that twice over while parsed."""
    inside = [0, 0]

    def parse(body: bytes, config: Config) -> None:
        inside[0] += 1
        inside[1] = max(inside)
        time.sleep(0.05)
        inside[0] -= 1
        raise ValidationError("enough")

    monkeypatch.setattr(contract, "parse", parse)
    config = Config.of()
    walk = Execute(config, None, Limits(config), AnswerBudget(config.answers_bytes), Metrics())  # type: ignore[arg-type]
    head = Head("POST", "/execute", "HTTP/1.1", {})
    body = b"x" * (1 << 20) + "\N{GRINNING FACE}".encode()
    answers = in_threads(4, lambda _: walk(Asked(head, body, "192.0.2.1", contextlib.ExitStack())).kind)
    assert answers == ["ValidationError"] * 4 and inside == [0, 1]


def test_a_long_chain_of_proxies_is_not_walked_to_its_end() -> None:
    """Each address took as long to parse as a small request: 27 kB of them held the server for 8 ms."""
    chain = ", ".join(["198.51.100.1"] + ["10.0.0.%d" % n for n in range(250)])
    assert identify("127.0.0.1", chain, Config.of().trusted_proxies).identity == "10.0.0.230"
    few = ", ".join(["198.51.100.1"] + ["10.0.0.%d" % n for n in range(19)])
    assert identify("127.0.0.1", few, Config.of().trusted_proxies).identity == "198.51.100.1"


def test_a_stream_of_empty_lines_is_not_read_for_ever(server) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"\r\n" * (1 << 16))
        assert connection.recv(12) == b"HTTP/1.1 431"


def test_servers_that_start_at_once_leave_each_other_their_directories(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that came between the making and the locking of a directory removed it; all runs of the other failed."""
    with tempfile.TemporaryDirectory() as parent:
        bases = []
        lock = fcntl.flock

        def start_another_first(fd: int, operation: int) -> None:
            monkeypatch.undo()
            bases.append(Base(parent))
            lock(fd, operation)

        monkeypatch.setattr(fcntl, "flock", start_another_first)
        bases.append(Base(parent))
        assert sorted(os.listdir(parent)) == sorted(os.path.basename(base.path) for base in bases)
        for base in bases:
            base.close()
        assert os.listdir(parent) == []
