"""Threads of a run: how many there may be, who counts them where the kernel can't, what they weigh, how they end.

Where a run has a uid or a user namespace of its own the kernel counts; elsewhere the watch does.
"""

from __future__ import annotations

import time

import pytest
from processes import descendants, threads
from servers import RunningServer
from support import in_threads

from pyexec.client import ServiceError

THREADS = 32


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
threading.stack_size(65536)
def breed():
    while True:
        try:
            threading.Thread(target=breed, daemon=True).start()
        except Exception:
            time.sleep(0.01)
print("begun", flush=True)
breed()
"""


def test_a_bomb_of_threads_stays_within_its_limit_or_is_ended(either_host: RunningServer) -> None:
    """From a tenth of a second after the first excess on there are never more tasks than the limit allows."""
    most = []

    def look() -> None:
        over_since = 0.0
        deadline = time.monotonic() + 20
        while not most and time.monotonic() < deadline:
            tasks = max([0] + [threads(pid) for pid in descendants(either_host.process.pid)])
            now = time.monotonic()
            over_since = (over_since or now) if tasks > THREADS + 2 else 0.0
            if over_since and now - over_since > 1.0:  # a busy machine's tenth of a second
                most.append(tasks)
            time.sleep(0.01)

    def bomb() -> None:
        try:
            either_host.client.execute(BOMB)
        except ServiceError as error:
            assert error.type in ("ResourceLimitError", "TimeoutError")
        finally:
            most.append(0)

    in_threads(2, lambda n: bomb() if n else look())
    assert most[0] == 0, "%d tasks at once" % most[0]
    assert either_host.client.execute("print(1)").success


@pytest.mark.parametrize("times", range(5))
def test_what_a_thread_does_after_the_end_does_not_count(either_host: RunningServer, times: int) -> None:
    code = """
import sys, threading
def go_on():
    n = 0
    while True:
        n += 1
        with open("out.txt", "w") as file:
            file.write("%d\\n" % n * 2)
        if ended:
            print("after the end", flush=True)
ended = []
threading.Thread(target=go_on, daemon=True).start()
sys.setswitchinterval(1e-5)
import atexit
atexit.register(ended.append, 1)
"""
    result = either_host.client.execute(code, return_files=["out.txt"])
    first, second = result.files["out.txt"].decode().split("\n")[:2] if result.files["out.txt"] else ("", "")
    assert first == second


def test_an_event_loop_with_a_pool(either_host: RunningServer) -> None:
    code = """
import asyncio, time
async def main():
    loop = asyncio.get_running_loop()
    print(sum(await asyncio.gather(*(loop.run_in_executor(None, lambda n=n: time.sleep(0.01) or n) for n in range(40)))))
asyncio.run(main())
"""
    assert either_host.client.execute(code).stdout == "780\n"
