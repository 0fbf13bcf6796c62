"""How a run ends, whatever happens meanwhile. Nothing of it executes once its output is read, on hosts of each kind."""

from __future__ import annotations

import os
import signal
import struct
import threading
import time
from typing import Any, List

import pytest
from processes import PLAIN, anyone_left, await_that, descendants, parents, settled, state, threads, zygote
from sandboxes import own_config

from pyexec.client import ServiceError
from pyexec.config import Config
from pyexec.errors import SandboxError
from pyexec.job import ENDED, TIMEOUT, Job
from pyexec.runs import child_handle, usage_watch
from pyexec.runs import run as module
from pyexec.sandbox import Sandbox

# A process that outlives the script counts in two files, one after the other; between the two lies a large one, which
# takes the server a while to read. Where the counting goes on meanwhile the second count is far ahead of the first.
WRITE_ON = """
import os, struct
first, last = (os.open(name, os.O_CREAT | os.O_RDWR) for name in ("first", "last"))
for name in ("large-1", "large-2"):
    with open(name, "wb") as file:
        file.write(bytes(8 << 20))
ready, tell = os.pipe()
for _ in range(3):
    if os.fork() == 0:
        count = 0
        while True:
            count += 1
            for fd in (first, last):
                os.pwrite(fd, struct.pack("q", count), 8 * _)
            if count == 100:
                os.write(tell, b"x")
for _ in range(3):
    os.read(ready, 1)
print("left")
os._exit(0)
"""


def test_what_an_admin_run_forked_writes_no_more_while_its_output_is_read(either_host) -> None:
    for _ in range(12):
        result = either_host.admin.execute(WRITE_ON, return_files=["first", "large-1", "large-2", "last"])
        assert result.stdout == "left\n", result
        counts = [struct.unpack("3q", result.files[name]) for name in ("first", "last")]
        for before, after in zip(*counts):
            assert 100 <= before and after in (before - 1, before), counts


@pytest.mark.parametrize(
    "admin,code", [(True, "import os, time\nif os.fork() == 0: time.sleep(9)"), (False, "while True: pass")]
)
def test_a_run_that_does_not_die_is_no_answer(monkeypatch: pytest.MonkeyPatch, admin: bool, code: str) -> None:
    with Sandbox(Config.of(max_runs=1, wall_s=0.5, uid_base=31000000 + 10 * os.getpid())) as sandbox:
        # Only for what wants to read the output: what cleans up behind the run waits until it is dead.
        monkeypatch.setattr(child_handle.ChildHandle, "await_gone", lambda self, timeout_s: False)
        with pytest.raises(SandboxError, match="has not ended"):
            sandbox.run(Job(code, admin=admin))


def test_a_script_that_only_says_that_it_has_ended_does_nothing_more() -> None:
    """It is stopped before its answer goes out: from then on nothing measures its directory."""
    config = Config.of(max_runs=2, wall_s=60, uid_base=30000000 + 10 * os.getpid())
    code = "import random\nos = random._os\nos.write(3, b'X{\"code\":0}')\nwhile True: os.write(1, b'x')"
    with Sandbox(config) as sandbox, sandbox.execution(Job(code)) as outcome:
        assert outcome.verdict == ENDED
        await_that(lambda: not [pid for pid in descendants(os.getpid()) if state(pid) == "R"])


def test_an_admin_run_whose_supervisor_is_killed_has_no_answer(running) -> None:
    """As by the OOM killer."""
    plain = zygote(running.process.pid, PLAIN)
    (supervisor,) = settled(lambda: [pid for pid, parent in parents().items() if parent == plain and descendants(pid)])
    found: List[ServiceError] = []

    def run() -> None:
        try:
            # Not `threading`, which the other zygote's children have.
            running.admin.execute("import _thread, time\n_thread.start_new_thread(time.sleep, (60,))\ntime.sleep(60)")
        except ServiceError as error:
            found.append(error)

    caller = threading.Thread(target=run)
    caller.start()
    await_that(lambda: any(threads(pid) == 2 for pid in descendants(supervisor)))  # it has its job
    os.kill(supervisor, signal.SIGKILL)
    caller.join()
    assert [(error.status, error.type) for error in found] == [(500, "InternalServerError")]


@pytest.mark.parametrize("code", ["time.sleep(0.1)", "time.sleep(5)"])
def test_a_run_that_ended_in_time_is_no_timeout_however_late_the_server_looks(
    monkeypatch: pytest.MonkeyPatch, code
) -> None:
    """As when the server was stopped meanwhile, or the directory took long to count."""

    def look(watch: usage_watch.Watch, ended: bool, failed: bool) -> None:
        monkeypatch.undo()
        time.sleep(1.2)

    monkeypatch.setattr(usage_watch.Watch, "exceeded", look)
    with Sandbox(own_config(wall_s=1)) as sandbox:
        outcome = sandbox.run(Job("import time\n" + code, admin=True))
        assert outcome.verdict == (TIMEOUT if "5" in code else ENDED)


def _kill_before_the_job_is_read(monkeypatch: pytest.MonkeyPatch, times: int) -> List[str]:
    """Have the next children stopped before their job comes, and killed with it unread; return what these were."""
    hand_over = module.hand_over
    killed: List[str] = []

    def stop(child: child_handle.ChildHandle, job: Job, owner: Any) -> Any:
        placed = hand_over(child, job, owner)
        if len(killed) < times:
            killed.append(job.code)
            child.stop()
            await_that(lambda: [pid for pid in descendants(os.getpid()) if state(pid) == "T"] != [])
            threading.Timer(0.2, child.kill).start()
        return placed

    monkeypatch.setattr(module, "hand_over", stop)
    return killed


@pytest.mark.parametrize("admin", [False, True])
def test_a_job_that_a_killed_child_has_not_read_runs_in_another(monkeypatch, admin) -> None:
    with Sandbox(own_config()) as sandbox:
        killed = _kill_before_the_job_is_read(monkeypatch, 1)
        assert sandbox.run(Job("print(1)", admin=admin)).stdout == b"1\n"  # in another child
        assert len(killed) == 1


def test_a_job_that_three_killed_children_have_not_read_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with Sandbox(own_config()) as sandbox:
        killed = _kill_before_the_job_is_read(monkeypatch, 10)
        with pytest.raises(SandboxError, match="before it read its job"):
            sandbox.run(Job("print(1)"))
        assert len(killed) == 3
        monkeypatch.undo()
        assert sandbox.run(Job("print(1)")).stdout == b"1\n"


def test_a_run_whose_end_nobody_tells_has_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a pid namespace its processes may go on for a moment, while its files are read."""
    kill = child_handle.ChildHandle.kill

    def kill_both(child: child_handle.ChildHandle) -> None:
        monkeypatch.setattr(child_handle.ChildHandle, "kill", kill)
        forking = zygote(os.getpid(), PLAIN)
        os.kill(forking, signal.SIGKILL)
        await_that(lambda: not anyone_left([forking]))
        kill(child)

    with Sandbox(own_config()) as sandbox:
        monkeypatch.setattr(child_handle.ChildHandle, "kill", kill_both)
        with pytest.raises(SandboxError, match="nobody can tell"):
            sandbox.run(Job("import os, time\nif os.fork() == 0: time.sleep(60)", admin=True))
