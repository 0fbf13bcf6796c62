"""Where no pid namespace is: an admin's processes end with the server and with their zygote."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time

import pytest
from processes import PLAIN, WITH_LIBRARIES, anyone_left, await_that, descendants, zygote
from support import in_threads
from wrappers import DOCKER

from pyexec.client import ServiceError


def test_a_process_of_an_admin_does_not_outlive_a_killed_server(start_server) -> None:
    running = start_server(DOCKER, max_runs=1)
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
def test_a_process_of_an_admin_does_not_outlive_a_killed_zygote(start_server, which) -> None:
    running = start_server(DOCKER, max_runs=1)
    forking = zygote(running.process.pid, which)
    before = len(descendants(forking))
    code = "import os, time\nif os.fork() == 0: time.sleep(300)\ntime.sleep(60)" + which * "\nimport numpy"

    def run(_: int) -> None:
        with contextlib.suppress(ServiceError):
            running.admin.execute(code)

    caller = threading.Thread(target=in_threads, args=(1, run))
    caller.start()
    await_that(lambda: len(descendants(forking)) == before + 3)  # the supervisor, the script, what it has forked

    pids = descendants(forking)
    os.kill(forking, signal.SIGKILL)
    caller.join()
    await_that(lambda: not anyone_left(pids))
    assert running.client.execute("print(1)").stdout == "1\n"
