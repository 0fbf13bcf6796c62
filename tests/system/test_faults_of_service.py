"""Faults of what the server stands on: the clock, its memory, its log. Well-formed errors, then service; nothing charged."""

from __future__ import annotations

import contextlib
import resource
import socket
import threading
from typing import Any, List, Optional

import pytest
from figures import record
from processes import await_that
from support import MIB, check_reply, connect, execute, in_threads, parse_replies, read_to_end
from wrappers import with_clock

from pyexec.client import ServiceError

DAY = 24 * 3600


def _document(running: Any, code: str) -> Any:
    return running.client.execute(code).document


def test_the_clock_set_back_and_forth(start_server, tmp_path) -> None:
    file = tmp_path / "shift"
    file.write_text("0")
    running = start_server(with_clock(str(file)), rate_per_minute=100, rate_per_day=10, wall_s=3)
    said: List[Any] = []
    running_script = threading.Thread(
        target=lambda: said.append(_document(running, "import time\ntime.sleep(1)\nprint('slept')"))
    )
    running_script.start()
    await_that(lambda: running.client.health()["active_runs"] == 1)
    file.write_text(str(-2 * DAY))
    running_script.join()
    details = said[0]["execution_details"]
    assert details["stdout"] == "slept\n" and 0.9 < details["execution_duration_sec"] < 3
    first = said[0]["timestamp_utc"]
    # Set back by two days: no new day, no bucket that waits for two days, and the answers say the time that is set.
    for used in (2, 3):
        document = _document(running, "print(1)")
        assert document["user_info"]["requests_today"] == used
        assert document["timestamp_utc"] < first
    file.write_text(str(DAY))
    assert _document(running, "print(1)")["user_info"]["requests_today"] == 1  # a new day
    file.write_text("0")
    for used in (2, 3, 4):
        assert _document(running, "print(1)")["user_info"]["requests_today"] == used  # and not one more
    with pytest.raises(ServiceError) as caught:
        running.client.execute("while True: pass")
    assert caught.value.type == "TimeoutError"
    record("faults survived", 3)


def test_a_log_that_can_not_be_written(start_server) -> None:
    running = start_server(max_runs=2, rate_per_minute=1000, rate_per_day=1000)
    # From here on every write to the log fails: no file of this process may grow.
    resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
    failed = 0
    for place in range(20):
        try:
            assert running.client.execute("print(%d)" % place).stdout == "%d\n" % place
        except ServiceError as error:
            assert error.status == 500
            failed += 1
    resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await_that(lambda: _works(running))
    await_that(lambda: running.client.health()["active_runs"] == 0)
    record("faults survived", 1)


def _works(running: Any) -> bool:
    try:
        return bool(running.client.execute("print(1)").stdout == "1\n")
    except (OSError, ServiceError):
        return False


def _size(pid: int) -> int:
    with open("/proc/%d/statm" % pid, encoding="ascii") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def test_memory_short_in_the_server(start_server) -> None:
    running = start_server(max_runs=2, rate_per_minute=10000, rate_per_day=10000, wall_s=2)
    pid = running.process.pid
    old = resource.prlimit(pid, resource.RLIMIT_AS)
    big = execute({"code": "import sys\nprint(len(sys.stdin.read()))", "stdin_data": "x" * (8 * MIB - 1)})
    small = execute({"code": "print(1)"})
    survived = 0
    for room in (64, 32, 16, 4, 0):
        resource.prlimit(pid, resource.RLIMIT_AS, (_size(pid) + room * MIB, old[1]))
        statuses = in_threads(4, lambda n: _status(running.port, big if n % 2 else small))
        assert set(statuses) <= {None, 200, 500, 503}, statuses
        survived += sum(status != 200 for status in statuses)
    resource.prlimit(pid, resource.RLIMIT_AS, old)
    assert survived >= 1
    await_that(lambda: _works(running))
    await_that(lambda: running.client.health()["active_runs"] == 0)
    # No slot and no share of the bodies' memory is lost: as many large ones as there are slots pass at once.
    for _ in range(10):
        said = in_threads(2, lambda _: running.client.execute("print(len(input()))", stdin="x" * (8 * MIB - 1)).stdout)
        assert said == ["%d\n" % (8 * MIB - 1)] * 2
    record("faults survived", survived)


def _status(port: int, raw: bytes) -> Optional[int]:
    """Return the status of the answer; None where there is none: a thread without any memory can't even close."""
    with contextlib.suppress(OSError), connect(port, 5) as sock:
        sock.sendall(raw)
        sock.shutdown(socket.SHUT_WR)
        data = read_to_end(sock)
        if data:
            (reply,) = parse_replies(data, ["POST"])
            check_reply(reply)
            return reply.status
    return None


def test_runs_that_need_much_memory_at_once(start_server) -> None:
    """Five times the budget: each is told by its own MemoryError or ended by the watch; the next callers get service."""
    running = start_server(max_runs=5, rate_per_minute=1000, rate_per_day=1000, memory_bytes=64 * MIB)
    code = "x = []\nwhile True: x.append(bytes(1 << 20))"
    for result in in_threads(5, lambda n: running.admin.execute(code) if n % 2 else running.client.execute(code)):
        if isinstance(result, ServiceError):
            assert result.document["error_details"]["resource"] == "memory"
        else:
            assert not result.success and "MemoryError" in result.stderr
    said = in_threads(5, lambda n: running.client.execute("print(%d)" % n).stdout)
    assert said == ["%d\n" % n for n in range(5)]
    record("faults survived", 5)
