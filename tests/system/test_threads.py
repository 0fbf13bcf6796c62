"""Threads of a run: how many there may be, who counts them where the kernel can't, what they weigh, how they end.

Where a run has a uid or a user namespace of its own the kernel counts; elsewhere the watch does.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import List

import pytest
from processes import await_that, descendants, tasks_by_session, threads
from servers import RunningServer
from support import in_threads

from pyexec.client import ServiceError
from pyexec.kernel import identity

THREADS, PROCESSES = 32, 10


def test_as_many_threads_run_as_the_limit_says(either_host: RunningServer) -> None:
    code = """
import threading, time
gate = threading.Event()
threads = [threading.Thread(target=gate.wait) for _ in range(%d)]
for thread in threads:
    thread.start()
time.sleep(0.3)
gate.set()
for thread in threads:
    thread.join()
print(threading.active_count())
"""
    for client in (either_host.client, either_host.admin):
        for _ in range(2):  # at once after another run of that slot, whose threads may still be dying
            result = client.execute(code % THREADS)
            assert result.stdout == "1\n", result.stderr


def test_one_more_thread_is_refused_or_ends_the_run_and_the_limit_is_named(either_host: RunningServer) -> None:
    code = """
import threading, time
gate = threading.Event()
try:
    for n in range(60):
        threading.Thread(target=gate.wait, daemon=True).start()
except RuntimeError as error:
    print(n, error)
else:
    time.sleep(3)
"""
    try:
        result = either_host.client.execute(code)
        assert result.stdout == "%d can't start new thread\n" % THREADS
    except ServiceError as error:
        details = error.document["error_details"]
        assert (details["resource"], details["limit"]) == ("threads", THREADS)


BOMB = """
import threading, time
threading.stack_size(1 << 17)  # the least that arm64 takes
end = time.monotonic() + 3
def breed():
    while time.monotonic() < end:
        try:
            threading.Thread(target=breed, daemon=True).start()
        except Exception:
            time.sleep(0.01)
print("begun", flush=True)
%s
breed()
"""
LOOK_S = 0.01
IN_SEVERAL_PROCESSES = """
import os
time.sleep(0.3)  # after the first looks
for _ in range(5):
    if os.fork() == 0:
        break
"""


@pytest.mark.parametrize("admin", [False, True])
def test_a_bomb_of_threads_stays_within_its_limit_or_is_ended(either_host: RunningServer, admin: bool) -> None:
    """From a tenth of a second after the first excess on there are never more tasks than the limit allows.

    Of an admin's run its processes count together: each run is a session. Where the one who looks is itself late, so is
    the server, on the same processors: what passes between two looks counts as no more than was meant to.
    """
    most: List[int] = []
    allowed = THREADS + 2 + (PROCESSES if admin else 0)
    code = BOMB % (IN_SEVERAL_PROCESSES if admin else "")
    client = either_host.admin if admin else either_host.client
    seen, ended = [], []

    def look() -> None:
        over_s, last = 0.0, time.monotonic()
        deadline = last + 20
        while not most and time.monotonic() < deadline:
            tasks = max([0, *tasks_by_session(either_host.process.pid).values()])
            seen.append(tasks)
            now = time.monotonic()
            over_s = over_s + min(now - last, LOOK_S) if tasks > allowed else 0.0
            last = now
            if over_s > 0.1:
                most.append(tasks)
            time.sleep(LOOK_S)

    def bomb() -> None:
        try:
            client.execute(code)
        except ServiceError as error:
            assert error.type in ("ResourceLimitError", "TimeoutError")
            ended.append(error.type)
        finally:
            most.append(0)

    in_threads(2, lambda n: bomb() if n else look())
    assert most[0] == 0, "%d tasks at once" % most[0]
    # The control: it was a bomb. One that is ended at once, nobody else may have seen.
    assert max(seen) > THREADS // 2 or ended == ["ResourceLimitError"]
    assert either_host.client.execute("print(1)").success


def test_nothing_of_a_run_with_threads_executes_while_its_output_is_read(either_host: RunningServer) -> None:
    """SIGSTOP reaches one thread at once and the others later: 60 ms, in which this one would write on."""
    code = """
import sys, threading, time
def go_on():
    with open("out.bin", "ab", buffering=0) as file:
        while True:
            file.write(b"x")
            sys.stdout.write(".")
            sys.stdout.flush()
threading.Thread(target=go_on, daemon=True).start()
time.sleep(0.01)
"""
    for _ in range(20):
        result = either_host.client.execute(code, return_files=["out.bin"])
        # The file is read after the output.
        assert len(result.files["out.bin"]) - len(result.stdout) in (0, 1)


def test_an_event_loop_with_a_pool(either_host: RunningServer) -> None:
    code = """
import asyncio, time
async def main():
    loop = asyncio.get_running_loop()
    print(sum(await asyncio.gather(*(loop.run_in_executor(None, lambda n=n: time.sleep(0.01) or n) for n in range(40)))))
asyncio.run(main())
"""
    assert either_host.client.execute(code).stdout == "780\n"


def _may_set_priorities() -> bool:
    """Return whether this is no root without CAP_SYS_NICE, as in most containers."""
    return os.geteuid() != 0 or bool(identity.capabilities()[0] >> 23 & 1)


@pytest.mark.skipif(
    not _may_set_priorities(), reason="a root without CAP_SYS_NICE may not lower another uid's priority"
)
def test_a_run_of_many_threads_has_a_lower_priority(either_host: RunningServer) -> None:
    """A fifth less time for each step: 17 threads together weigh as much as one."""
    code = """
import threading, time
threads = [threading.Thread(target=time.sleep, args=(2,)) for _ in range(16)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""
    own = os.getpriority(os.PRIO_PROCESS, either_host.process.pid)

    def look() -> bool:
        for pid in descendants(either_host.process.pid):
            if threads(pid) == 17:
                with contextlib.suppress(OSError):
                    names = os.listdir("/proc/%d/task" % pid)
                    return {os.getpriority(os.PRIO_PROCESS, int(name)) for name in names} == {min(19, own + 5 + 13)}
        return False

    def run() -> None:
        assert either_host.client.execute(code).success

    said = in_threads(2, lambda n: run() if n else await_that(look))
    assert said == [True, None]
