"""A run that is killed for want of memory which others have taken: a fault of ours, with an id, and it costs nothing.

In a real memory cgroup where one can be made, so that the kernel's memory killer chooses; else the test is the killer.
"""

from __future__ import annotations

import os
import signal
import threading
from typing import Any, Dict, Iterator, List, Tuple

import pytest
from memory import MIB, Counter, counted
from processes import await_that, descendants
from servers import RunningServer
from wrappers import DOCKER

from pyexec.client import ServiceError

# Within its budget of 512 MiB, and the largest process on this host.
INNOCENT = "held = b'x' * (300 << 20)\nimport time\ntime.sleep(6)\nprint('innocent')"
TOO_MUCH = "held = []\nwhile True: held.append(b'x' * (8 << 20))"


@pytest.fixture(params=["mounts", "no mounts"])
def host(request: pytest.FixtureRequest) -> Iterator[Tuple[Any, Counter]]:
    """A server that is the only one in its cgroup."""
    refuse = DOCKER if request.param == "no mounts" else []
    with counted() as counter:
        running = RunningServer({"max_runs": 3, "rate_per_minute": 100}, counter.wrapper + refuse)
        try:
            assert running.client.execute("print(1)").stdout == "1\n"
            yield running, counter
        finally:
            assert running.stop() == 0, running.log


def _in_background(running: Any, code: str) -> Tuple[threading.Thread, List[Any]]:
    found: List[Any] = []

    def run() -> None:
        try:
            found.append(running.client.execute(code).document)
        except ServiceError as error:
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, found


def _largest(running: Any) -> int:
    """Return the process of a server's runs that has most memory."""
    sizes: Dict[int, int] = {}
    for pid in descendants(running.process.pid):
        try:
            with open("/proc/%d/statm" % pid, encoding="ascii") as file:
                sizes[pid] = int(file.read().split()[1]) * 4096
        except OSError:
            continue  # ended between two looks
    return max(sizes, key=sizes.__getitem__) if max(sizes.values()) > 280 * MIB else 0


def test_an_innocent_run_that_is_killed_pays_nothing(host: Tuple[Any, Counter]) -> None:
    running, counter = host
    used = running.client.execute("print(2)").document["user_info"]["requests_today"]
    thread, found = _in_background(running, INNOCENT)
    await_that(lambda: _largest(running) != 0)
    if counter.exact:
        # The server starts nothing with it; what it takes is memory of the same cgroup, as another run's would be.
        counter.limit(counter.held_bytes() + 20 * MIB)
        taker, taken = _in_background(running, "held = b'x' * (150 << 20)\nimport time\ntime.sleep(1)")
        taker.join()
    else:
        os.kill(_largest(running), signal.SIGKILL)
    thread.join()
    (error,) = found
    assert isinstance(error, ServiceError), error
    assert (error.status, error.type) == (500, "InternalServerError")
    assert error.document["error_details"]["id"] in running.log
    if counter.exact:
        assert counter.killed() >= 1  # it was the kernel, and not a limit of ours
        assert not isinstance(taken[0], ServiceError), taken
        counter.limit(-1)
    now = running.client.execute("print(3)").document["user_info"]["requests_today"]
    assert now == used + (2 if counter.exact else 1)


def test_a_run_that_takes_too_much_by_itself_is_told_so(host: Tuple[Any, Counter]) -> None:
    """The control: what is the run's own end stays its own, on the same host."""
    running, _ = host
    used = running.client.execute("print(2)").document["user_info"]["requests_today"]
    try:
        document = running.client.execute(TOO_MUCH).document
        assert "MemoryError" in document["execution_details"]["stderr"]
    except ServiceError as error:
        document = error.document
        assert document["error_details"]["resource"] == "memory"
    assert document["user_info"]["requests_today"] == used + 1
