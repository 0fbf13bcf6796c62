"""What a run can and can't do, end to end over HTTP: native code behind the admin key, neighbours, budgets, leaks.

The control of each native attack is the escape of the same name in `escapes/`, which succeeds with no layer on.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time

import pytest
from processes import await_that, command, descendants, settled
from support import ROOT, in_threads

from pyexec.client import ServiceError

NATIVE = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def raw(result):
    print('ok' if result >= 0 else os.strerror(ctypes.get_errno()))
"""
DENIED = {"Permission denied", "No such file or directory", "Operation not permitted", "No such process"}


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret.txt"
    path.write_text("secret")
    return path


def test_native_code_reads_no_file_outside(server, secret) -> None:
    for path in (secret, "/etc/shadow", "/proc/1/environ", "/proc/self/environ", "/root", "/sys/kernel"):
        said = server.admin.execute(NATIVE + "raw(libc.open(%r.encode(), 0))" % str(path)).stdout.strip()
        assert said in DENIED, path
    with open(secret, encoding="ascii") as file:  # the control: it is there, and readable
        assert file.read() == "secret"


def test_native_code_opens_no_socket(server) -> None:
    for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, 16, 17, 40):
        assert server.admin.execute(NATIVE + "raw(libc.socket(%d, 1, 0))" % family).stdout.strip() in DENIED


def test_native_code_does_not_signal_the_server(server) -> None:
    for pid in [server.process.pid] + descendants(server.process.pid):
        assert server.admin.execute(NATIVE + "raw(libc.kill(%d, 0))" % pid).stdout.strip() in DENIED
    os.kill(server.process.pid, 0)  # the control: it is there


def test_no_process_outlives_its_run(server) -> None:
    code = """
import subprocess, os
for _ in range(4):
    subprocess.Popen(['sleep', '987'], stdout=subprocess.DEVNULL)
if os.fork() == 0:
    while True: pass
print('started')
"""
    before = settled(lambda: len(descendants(server.process.pid)))
    assert server.admin.execute(code).stdout == "started\n"
    await_that(lambda: not [pid for pid in descendants(server.process.pid) if "sleep" in command(pid)])
    assert settled(lambda: len(descendants(server.process.pid))) == before


def test_output_held_open_by_a_grandchild_delays_no_answer(server) -> None:
    started = time.monotonic()
    server.admin.execute("import subprocess; subprocess.Popen(['sleep', '987'])")
    assert time.monotonic() - started < 4  # the limit of a run is 5


@pytest.mark.parametrize("escape", ["os.setsid()", "os.setpgid(0, 0)", "os.unshare(0x10000000)"])
def test_no_run_leaves_its_group(server, escape) -> None:
    result = server.admin.execute("import os\nif os.fork() == 0:\n    %s\n    print('escaped')" % escape)
    assert "escaped" not in result.stdout


def test_process_bombs_stay_small_and_neighbours_run_on(server) -> None:
    bomb = """
import os, time
started = 0
try:
    while True:
        if os.fork() == 0:
            time.sleep(30)
        started += 1
except OSError as error:
    print(started)
"""

    def one(place: int) -> object:
        if place < 3:
            return server.admin.execute(bomb).stdout
        return server.client.execute("print(sum(range(1000)))").stdout

    results = in_threads(5, one)
    assert results[3:] == ["499500\n"] * 2
    for said in results[:3]:
        if isinstance(said, ServiceError):
            assert said.document["error_details"]["resource"] == "processes"
        else:
            assert 0 < int(said) <= 10


def test_admin_may_start_ten_processes(server) -> None:
    code = """
import subprocess
running = [subprocess.Popen(['sleep', '0.2']) for _ in range(10)]
print([p.wait() for p in running])
"""
    assert server.admin.execute(code).stdout == str([0] * 10) + "\n"


def test_public_scripts_start_no_process(server) -> None:
    fork = "import random\nif random._os.fork() == 0:\n    random._os._exit(0)\nprint('forked')"
    assert server.admin.execute(fork).stdout == "forked\n"
    result = server.client.execute(fork)
    assert not result.success and "PermissionError: [Errno 1]" in result.stderr


def test_runs_yield_to_the_server(server) -> None:
    code = "import os\nprint(os.getpriority(os.PRIO_PROCESS, 0))"
    assert int(server.admin.execute(code).stdout) > os.getpriority(os.PRIO_PROCESS, server.process.pid)


def test_memory_is_bounded(server) -> None:
    result = server.client.execute("x = bytearray(900 * 1024 * 1024)\nprint(len(x))")
    assert not result.success and "MemoryError" in result.stderr
    # What stacks of threads may reserve is no memory: whoever uses it otherwise is ended for it.
    assert _stopped(server, "import time\nx = bytearray(720 * 1024 * 1024)\ntime.sleep(4)") == "memory"
    assert server.client.execute("x = bytearray(300 * 1024 * 1024)\nprint(len(x))").success


def test_directory_is_bounded(server) -> None:
    fill = "with open('big', 'wb') as f:\n    for _ in range(200): f.write(bytes(1 << 20))"
    with_error = _stopped(server, fill)
    assert "No space left" in with_error or "File too large" in with_error or "disk" in with_error
    many = _stopped(server, "for n in range(5000): open(str(n), 'w').close()")
    assert "No space left" in many or "files" in many
    sparse = _stopped(server, "f = open('s', 'wb'); f.seek(1 << 40); f.write(b'x'); f.close()")
    assert "File too large" in sparse or "No space left" in sparse


def _stopped(server, code: str) -> str:
    try:
        result = server.client.execute(code)
    except ServiceError as error:
        assert error.type == "ResourceLimitError"
        return str(error.document["error_details"]["resource"])
    assert not result.success
    return result.stderr


def test_output_beyond_the_cap_is_cut_and_the_script_goes_on(server) -> None:
    result = server.client.execute("import sys\nfor _ in range(4): sys.stdout.write('x' * (1 << 20))\nprint(end='')")
    assert result.success and result.stdout == "x" * (1 << 20)
    assert result.document["execution_details"]["stdout_truncated"] is True


FLOODS = {
    "blocks": "while True: print('x' * 1000000)",
    "lines": "while True: print('x' * 50)",
    "errors": "import sys\nwhile True: sys.stderr.write('x' * 50)",
    "done before anybody looks": "print('x' * (5 << 20))",
    "what meets the kernel's limit": "print('x' * (80 << 20))",
}


@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_of_output_ends_the_run(either_host, flood) -> None:
    """A flood of short lines held its slot to the time limit."""
    started = time.monotonic()
    with pytest.raises(ServiceError) as caught:
        either_host.client.execute(FLOODS[flood])
    details, so_far = caught.value.document["error_details"], caught.value.document["execution_details"]
    assert (caught.value.type, details["resource"], details["limit"]) == ("ResourceLimitError", "output", 4 << 20)
    assert details["message"] == "Execution exceeded its limit of 4 MiB of output."
    stream = "stderr" if flood == "errors" else "stdout"
    assert len(so_far[stream]) == 1 << 20 and so_far[stream + "_truncated"] is True
    assert time.monotonic() - started < 10  # the time limit


def test_files_come_back_after_a_time_out_and_a_resource_limit(start_server) -> None:
    """What a script wrote vanished when it was ended."""
    running = start_server(wall_s=0.5, output_bytes=1000)
    write = "with open('f', 'w') as f: f.write('so far')\n"
    for code, kind in (("while True: pass", "TimeoutError"), ("while True: print('x' * 99)", "ResourceLimitError")):
        with pytest.raises(ServiceError) as caught:
            running.client.execute(write + code, return_files=["f", "g"])
        assert caught.value.type == kind
        assert caught.value.document["execution_details"]["output_files"] == {
            "f": {"content_base64": "c28gZmFy", "size_bytes": 6},
            "g": {"error": "File not found after execution."},
        }


FULL = {
    "disk": "with open('big', 'wb') as f:\n    for _ in range(200): f.write(bytes(1 << 20))",
    "many large": "for n in range(9):\n    with open('big%d' % n, 'wb') as f: f.write(bytes(8 << 20))",
    "files": "for n in range(5000): open(str(n), 'w').close()",
}


@pytest.mark.parametrize("code", FULL)
def test_a_run_that_fails_in_a_full_directory_met_its_limit(either_host, code) -> None:
    """Where it has a tmpfs it was a 200 with an exit code, elsewhere a ResourceLimitError."""
    with pytest.raises(ServiceError) as caught:
        either_host.client.execute(FULL[code], return_files=["1"])
    resource, limit = ("files", 1000) if code == "files" else ("disk", 64 << 20)
    details = caught.value.document["error_details"]
    assert (caught.value.type, details["resource"], details["limit"]) == ("ResourceLimitError", resource, limit)
    assert ("content_base64" in caught.value.document["execution_details"]["output_files"]["1"]) == (code == "files")


def test_a_full_directory_is_no_failure_of_a_script_that_copes(either_host) -> None:
    """Be it full by its own size, or a file as large as RLIMIT_FSIZE allows."""
    fill = "try:\n    with open('big', 'wb') as f:\n        while True: f.write(bytes(1 << 16))\nexcept OSError: pass\n"
    wait = "import time\ntime.sleep(0.2)\n"  # for the watch
    for more in ("", wait):
        assert either_host.client.execute(fill + more + "print('full')").stdout == "full\n"
        emptied = either_host.client.execute(fill + more + "open('big', 'wb').close()\nraise SystemExit(3)")
        assert emptied.exit_code == 3
    with pytest.raises(ServiceError) as caught:
        either_host.client.execute(fill + "print('full')\nraise SystemExit(3)")
    details = caught.value.document["execution_details"]
    assert (details["stdout"], details["exit_code"]) == ("full\n", 3)
    assert caught.value.document["error_details"]["resource"] == "disk"


@pytest.mark.parametrize("directories", [0, 100])
def test_what_fits_into_a_directory_is_the_same_everywhere(either_host, directories: int) -> None:
    code = f"""
from pathlib import Path
for n in range({directories}): Path(f"d{{n}}").mkdir()
with open("big", "wb", buffering=0) as file:
    while file.tell() < (64 << 20) - 16384: file.write(bytes(16384))
print("ok")
"""
    assert either_host.client.execute(code).stdout == "ok\n"


@pytest.mark.parametrize("mode", [0o000, 0o300, 0o444])
def test_what_the_server_could_not_read_is_no_limit_and_comes_back(either_host, mode: int) -> None:
    """A server that isn't root, with which a run shares its uid."""
    code = f"""
import os
os.umask(0)
os.mkdir("d", 0o{mode:o})
os.close(os.open("a.txt", os.O_CREAT | os.O_WRONLY, 0o{mode:o}))
print("fine")
"""
    result = either_host.admin.execute(code, return_files=["a.txt"])
    assert (result.stdout, result.files) == ("fine\n", {"a.txt": b""})


def test_of_what_a_crash_interrupts_whole_lines_are_left(server) -> None:
    """As docs/api.md says."""
    result = server.admin.execute("import ctypes\nprint('whole')\nprint('begun', end='')\nctypes.string_at(0)")
    assert (result.stdout, result.exit_code) == ("whole\n", -11)


def test_a_record_lock_is_given_back_by_closing_the_file(either_host) -> None:
    """As docs/api.md says; Python asks to unlock by a call that waits."""
    code = """
import fcntl
for _ in range(2):
    with open("a", "w") as file:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
print("taken twice")
fcntl.lockf(open("a", "w"), fcntl.LOCK_UN)
"""
    result = either_host.admin.execute(code)
    assert result.stdout == "taken twice\n" and "PermissionError" in result.stderr


def test_descriptors_are_bounded_and_none_is_inherited(server) -> None:
    result = server.admin.execute(
        """
import os
open_ones = []
for fd in range(1024):
    try:
        os.fstat(fd)
        open_ones.append(fd)
    except OSError:
        pass
print(open_ones)
try:
    while True: os.dup(0)
except OSError as error:
    print(error.strerror)
"""
    )
    lines = result.stdout.splitlines()
    assert lines[0] in ("[0, 1, 2]", "[0, 1, 2, 3]") and lines[1] == "Too many open files"


def test_environment_holds_nothing_of_the_servers(start_server) -> None:
    running = start_server(environment={"SECRET_TOKEN": "do-not-leak"}, max_runs=1)
    said = running.admin.execute("import os; print(dict(os.environ))").stdout
    assert "do-not-leak" not in said and "PYTHON_EXE_KEY" not in said and "HOME" in said


def test_admin_key_is_nowhere_in_a_runs_memory(server) -> None:
    """The needle is put together in the run, so that finding itself proves the search, and only the key is news."""
    code = """
import gc, sys
key = 'test-key' + '-' + 'öffnet'
seen = [o for o in gc.get_objects() if isinstance(o, (str, bytes))]
print(any(key in repr(m.__dict__) for n, m in sys.modules.items() if n != '__main__' and hasattr(m, '__dict__')))
"""
    assert server.admin.execute(code).stdout == "False\n"


def test_runs_share_no_randomness(server) -> None:
    code = """
import random, uuid, secrets, numpy
print(random.random(), uuid.uuid4(), uuid.uuid1(), secrets.token_hex(8), numpy.random.random(), numpy.random.default_rng().random())
"""
    lines = [server.client.execute(code).stdout.split() for _ in range(6)]
    for column in zip(*lines):
        assert len(set(column)) == 6
    names = {server.admin.execute("import tempfile; print(tempfile.mktemp())").stdout for _ in range(4)}
    assert len(names) == 4


def test_two_runs_in_a_row_meet_in_nothing(server) -> None:
    leave = """
import os, sys, builtins, numpy, random
open('left.txt', 'w').write('x'); os.mkdir('left'); builtins.left = 1; numpy.left = 1; sys.modules['left'] = numpy
random.seed(1); os.environ['LEFT'] = '1'; os.umask(0o777)
"""
    look = """
import os, sys, builtins, numpy
print(sorted(os.listdir('.')), hasattr(builtins, 'left'), hasattr(numpy, 'left'), 'left' in sys.modules, 'LEFT' in os.environ, oct(os.umask(0)))
"""
    clean = server.admin.execute(look).stdout
    for _ in range(6):
        assert server.admin.execute(leave).success
        assert server.admin.execute(look).stdout == clean == "['script.py'] False False False False 0o22\n"


def test_two_runs_at_once_do_not_see_each_other(server) -> None:
    code = """
import os, time
open('mine-%d', 'w').close()
time.sleep(0.3)
try:
    others = os.listdir('/proc')
except OSError:
    others = []
print(sorted(os.listdir('.')), len(others))
"""
    for place, said in enumerate(in_threads(4, lambda n: server.admin.execute(code.replace("%d", str(n))).stdout)):
        assert said == "['mine-%d', 'script.py'] 0\n" % place


def test_no_user_byte_counts_before_the_door_is_closed(server) -> None:
    names = ["sitecustomize.py", "numpy.py", "json.py", "usercustomize.py", "encodings.py", "os.py", "io.py"]
    for first, second in zip(names[::2], names[1::2]):
        evil = b"print('evil'); raise SystemExit(9)"
        result = server.client.execute(
            "import json, numpy\nprint(json.dumps(1))", attachments={first: evil, second: evil}
        )
        assert (result.stdout, result.exit_code) == ("1\n", 0)


def test_hostile_run_changes_no_later_run(server) -> None:
    clean = server.client.execute("import numpy; print(numpy.arange(3), len('abc'))").stdout
    hostile = """
import numpy, builtins, sys
builtins.len = lambda _: 99
builtins.print = None
numpy.arange = None
x = numpy.zeros(1)
y = numpy.lib.stride_tricks.as_strided(x, (1 << 40,), (8,))
y[1 << 30] = 1
"""
    for _ in range(6):
        assert not server.admin.execute(hostile).success
        assert server.client.execute("import numpy; print(numpy.arange(3), len('abc'))").stdout == clean


def test_forged_end_only_cuts_the_forgers_answer_short(server) -> None:
    forge = (
        "import random\nos = random._os\nprint('before', flush=True)\nos.write(3, b'X{\"code\":7}')\nwhile True: pass"
    )
    result = server.client.execute(forge)
    assert (result.stdout, result.exit_code) == ("before\n", 7)
    closed = server.client.execute("import random\nrandom._os.close(3)\nprint('still')\nrandom._os._exit(5)")
    assert closed.exit_code == 5


# Programs close "everything from 3 on", and what they open next has the number of the channel to the server.
CLOSERS = ["import os\nos.closerange(3, 256)", "import io\nio.FileIO(3).close()", "open(3, 'rb', 0).close()"]


@pytest.mark.parametrize("closer", CLOSERS)
@pytest.mark.parametrize("own_file", [False, True])
@pytest.mark.parametrize(
    "end, code, last_line",
    [("print('end')", 0, ""), ("raise SystemExit(5)", 5, ""), ("1 / 0", 1, "ZeroDivisionError: division by zero")],
)
def test_a_script_that_closes_the_channel_ends_as_any_other(
    server, closer: str, own_file: bool, end: str, code: int, last_line: str
) -> None:
    lines = [closer, "file = open('own', 'w')", "assert file.fileno() == 3", "print('text', file=file, flush=True)"]
    script = "\n".join(lines if own_file else lines[:1]) + "\n" + end
    for client in (server.admin,) if "import os" in closer else (server.client, server.admin):
        result = client.execute(script, return_files=["own"] if own_file else [])
        assert (result.exit_code, (result.stderr.splitlines() or [""])[-1]) == (code, last_line), result
        assert result.stdout == ("" if code else "end\n")
        assert result.files == ({"own": b"text\n"} if own_file else {})


JUNK = (
    "b'X'",
    "b'X{'",
    "b'X{\"code\":[]}'",
    "b'X{\"code\":999999}'",
    "b'H{}'",
    "b'\\xff'",
    "b'I{\"modules\":[1]}'",
    "b'X' + b'[' * 60000",
)


def test_junk_in_place_of_an_end_is_no_end(start_server) -> None:
    running = start_server(wall_s=0.5, rate_per_minute=1000, rate_per_day=1000)
    for junk in JUNK:
        with pytest.raises(ServiceError) as caught:
            running.client.execute("import random\nrandom._os.write(3, %s)\nwhile True: pass" % junk)
        assert caught.value.type == "TimeoutError"


def test_many_runs_leave_no_thread_and_no_process(server) -> None:
    def state() -> tuple:
        pid = server.process.pid
        return len(os.listdir("/proc/%d/task" % pid)), len(descendants(pid))

    for _ in range(20):
        server.client.execute("print(1)")
    before = settled(state)
    for place in range(200):
        server.client.execute("print(%d)" % place)

    def nothing_more() -> bool:  # threads that wait for connections end after a while, all but one
        threads, processes = settled(state)
        return threads <= before[0] and processes == before[1]

    await_that(nothing_more)


def test_many_runs_leave_no_descriptor() -> None:
    """In a process of its own, since the server lets nobody of its uid look into it."""
    code = """
import os, time
from pyexec import Config, Job, Sandbox

def held():
    return len(os.listdir("/proc/self/fd"))

def at_rest():
    # Children that are ended or made behind an answer hold descriptors for a moment.
    last, since = held(), time.monotonic()
    while time.monotonic() - since < 1:
        time.sleep(0.02)
        if held() != last:
            last, since = held(), time.monotonic()
    return last

with Sandbox(Config.of(max_runs=2, uid_base=20000000 + 10 * os.getpid())) as sandbox:
    def run(count):
        for place in range(count):
            assert sandbox.run(Job("print(%d)" % place, b"x" * 100000, admin=place % 10 == 0)).exit_code == 0
        return at_rest()
    before, after = run(10), run(100)
    assert after <= before, (before, after)
assert held() < 10, os.listdir("/proc/self/fd")
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, cwd=ROOT, timeout=300)
