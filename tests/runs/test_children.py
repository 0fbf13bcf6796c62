"""Children that wait for a run, made by a real zygote: what they may cost, and what must not wait for them."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from typing import Any, List

import pytest
from processes import anyone_left, await_that, descendants
from sandboxes import failing, own_config
from support import ROOT
from wrappers import DOCKER

from pyexec.config import Config
from pyexec.errors import SandboxError
from pyexec.job import Job
from pyexec.runs import child_handle, processes, zygote_handles
from pyexec.runs.child_handle import ChildHandle
from pyexec.runs.slots import POOLS, Slot
from pyexec.sandbox import Sandbox


@pytest.mark.parametrize("lost", ["its process", "word of its process"])
def test_a_child_whose_process_is_not_known_is_not_waited_for(lost) -> None:
    """With no descriptor left for the pidfd it can't be killed; another child takes its slot."""
    program = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
from pyexec import messages
from pyexec.config import Config
from pyexec.errors import SandboxError
from pyexec.job import Job
from pyexec.runs.child_handle import ChildHandle
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
    command = [*DOCKER, sys.executable, "-c", program, ROOT, lost, uids]
    done = subprocess.run(command, capture_output=True, timeout=60, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "b'42\\n' True\n" * 3, "")


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


def test_children_that_die_one_after_the_other_are_not_made_without_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no process can be made, a few are tried for a caller that waits, not thousands."""
    tried: List[Any] = []

    def fail(child: child_handle.ChildHandle, deadline: float = 0) -> None:
        tried.append(child)
        raise SandboxError("a child ended before it was ready")

    with Sandbox(own_config()) as sandbox:
        monkeypatch.setattr(child_handle.ChildHandle, "await_ready", fail)
        for admin in (False, True):
            tried.clear()
            with pytest.raises(SandboxError):
                sandbox._keeper.pool("plain", admin).take(time.monotonic() + 0.5)
            assert 2 <= len(tried) <= 20  # those that were waiting, and then one after each pause
        monkeypatch.undo()
        assert sandbox.run(Job("print(1)")).stdout == b"1\n"


@pytest.mark.parametrize("admin", [False, True])
def test_a_child_that_there_is_no_memory_for_costs_neither_its_slot_nor_the_keeper(
    monkeypatch: pytest.MonkeyPatch, admin
) -> None:
    with Sandbox(own_config()) as sandbox:
        for owner, name in ((zygote_handles.ZygoteHandle, "send_order"), (child_handle.ChildHandle, "__init__")):
            await_that(lambda: sandbox.state()["waiting"] == 2)
            with monkeypatch.context() as patch:
                patch.setattr(owner, name, failing(MemoryError()))
                if not admin:
                    # In the one that waited; no other can be made behind it.
                    assert sandbox.run(Job("1")).exit_code == 0
                with pytest.raises((SandboxError, MemoryError)):
                    sandbox._keeper.pool("plain", admin).take(time.monotonic() + 0.5)
            assert sandbox.run(Job("print(1)", admin=admin)).stdout == b"1\n"
        await_that(lambda: sandbox._keeper.slots.free_count == POOLS - 2)  # two wait; none is lost


@pytest.mark.parametrize("admin", [False, True])
def test_a_script_that_names_no_library_gets_a_plain_child(admin: bool) -> None:
    """One that names any gets a child that has them all; one that hides a name gets a plain child and imports by itself."""
    loaded = "import sys\nname = 'num' + 'py'\nprint(name in sys.modules)"
    with Sandbox(own_config(wall_s=60)) as sandbox:
        assert sandbox.run(Job(loaded, admin=admin)).stdout == b"False\n"
        for library in ("numpy", "PIL", "reportlab", "fpdf"):
            assert sandbox.run(Job(loaded + "  # not even imported: " + library, admin=admin)).stdout == b"True\n"
        hidden = sandbox.run(Job(loaded + "\nprint(__import__(name).arange(3).sum())", admin=admin))
        assert hidden.stdout == b"False\n3\n", hidden


def test_an_admins_child_whose_script_process_dies_while_it_waits_gets_no_job() -> None:
    """Its supervisor lives on and reports that end, which must not become the end of a run that never began."""
    with Sandbox(own_config(admin_key="a key of the test's own")) as sandbox:
        pool = sandbox._keeper.pool("plain", True)
        for number in range(3):
            await_that(lambda: len(pool) == 1 and pool.waiting()[0].ready)
            child = pool.waiting()[0]
            supervisor = processes.pid_of(child.pidfd)
            (script,) = descendants(supervisor)
            os.kill(script, signal.SIGKILL)
            await_that(lambda pid=script: not anyone_left([pid]))
            await_that(lambda each=child: each._waits(each.channel, 0) or each.dead_or_lost())
            outcome = sandbox.run(Job("print(%d)" % number, admin=True))
            assert (outcome.stdout, outcome.exit_code) == (b"%d\n" % number, 0)
