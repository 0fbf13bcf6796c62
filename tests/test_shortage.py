"""Shortage in the middle of things: a template, the server or the disk lacks something for a moment, and nothing is lost.

Each test is named after what was lost, or said wrongly, until the server ended.
"""

from __future__ import annotations

import errno
import os
import resource
import signal
import sys
import tempfile
import threading
import time
from typing import Any, List

import pytest
from conftest import ROOT
from processes import anyone_left, await_that, descendants, parents, settled, state
from test_faults import PLAIN, _restarts, _template, _works
from test_review import _spawn_in_vain

from pyexec import messages
from pyexec.child import confine
from pyexec.child import main as child_module
from pyexec.client import ServiceError
from pyexec.config import Config
from pyexec.errors import SandboxError
from pyexec.job import ENDED, TIMEOUT, Job
from pyexec.runs import handles, rows, run, workdir, workdirs_on_disk, zygotes
from pyexec.runs import watch as usage
from pyexec.runs.slots import POOLS
from pyexec.runs.workdirs_on_disk import Base
from pyexec.sandbox import Sandbox

REFUSE = [sys.executable, os.path.join(ROOT, "tests", "tools", "refuse.py"), "docker", "--"]


@pytest.fixture(params=["mounts", "no mounts"])
def running(request: pytest.FixtureRequest, start_server: Any) -> Any:
    """A server with what this host has, and one that can't mount."""
    wrapper = REFUSE if request.param == "no mounts" else []
    return start_server(wrapper, max_runs=2, rate_per_minute=1000, rate_per_day=1000)


def test_an_order_that_a_template_has_no_descriptors_for(running) -> None:
    """The plain template ended by itself and waited for the other one, for ever: 500 for every run, /health said ok."""
    template = _template(running.process.pid, PLAIN)
    before = sorted(descendants(running.process.pid))
    old = resource.prlimit(template, resource.RLIMIT_NOFILE)
    held = len(os.listdir("/proc/%d/fd" % template))
    resource.prlimit(template, resource.RLIMIT_NOFILE, (held, old[1]))
    assert _works(running)  # in the child that waited; it is to be followed by another
    await_that(lambda: "no descriptor is left for a child" in running.log)
    resource.prlimit(template, resource.RLIMIT_NOFILE, old)
    await_that(lambda: _works(running))
    assert running.client.health()["template_restarts"] == 0 and anyone_left([template])
    await_that(lambda: len(descendants(running.process.pid)) == len(before))


def test_an_admin_run_that_the_memory_killer_takes_is_told_so(running) -> None:
    """Also where no pid namespace is: that its end has been told already is no want of a word."""
    plain = _template(running.process.pid, PLAIN)
    (supervisor,) = settled(lambda: [pid for pid, parent in parents().items() if parent == plain and descendants(pid)])
    found: List[ServiceError] = []

    def run() -> None:
        try:
            running.admin.execute("import time\ntime.sleep(60)")
        except ServiceError as error:
            found.append(error)

    caller = threading.Thread(target=run)
    caller.start()
    await_that(lambda: running.client.health()["active_runs"] == 1)
    time.sleep(0.2)  # until it has its job
    os.kill(supervisor, signal.SIGKILL)
    caller.join()
    assert [(error.status, error.type) for error in found] == [(500, "InternalServerError")]


def _config(**settings: Any) -> Config:
    return Config.of(max_runs=1, uid_base=30000000 + 10 * os.getpid(), **settings)


def _make_unremovable(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> List[str]:
    """Have no directory of a run be removed until the sandbox is closed; return what was tried."""
    tried: List[str] = []

    def fail(parent_fd: int, name: str) -> None:
        tried.append(name)
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(workdirs_on_disk, "remove_tree", fail)
    return tried


def _fails(error: BaseException) -> Any:
    def fail(*_: object, **__: object) -> Any:
        raise error

    return fail


def test_a_full_log_does_not_end_a_template(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor, with it, every run: for one child that could not be made."""

    class Full:
        write = flush = staticmethod(_fails(OSError(errno.ENOSPC, "No space left on device")))

    monkeypatch.setattr(sys, "stderr", Full())
    monkeypatch.setattr(os, "fork", _fails(BlockingIOError(errno.EAGAIN, "no process left")))
    _spawn_in_vain()


def test_a_child_without_its_channel_does_not_write_elsewhere() -> None:
    """Its descriptor 3 is still one of the zygote's: the control socket, or another child's status socket."""
    near, far = messages.pair()
    pid = os.fork()
    if pid == 0:
        os.dup2(far.fileno(), confine.CHANNEL_FD)
        os.dup2 = _fails(OSError(errno.EMFILE, "Too many open files"))
        child_module.main((), (20, 21, 22, 23), messages.Order(0, False), None, 1)  # type: ignore[arg-type]
    far.close()
    assert os.WEXITSTATUS(os.waitpid(pid, 0)[1]) != 0
    assert near.recv(1000) == b""
    near.close()


def test_directories_of_children_that_waited_for_a_killed_template(start_server) -> None:
    """They stayed until the server ended, as many as had waited, for each template."""
    with tempfile.TemporaryDirectory(prefix="work-dir-") as work_dir:
        os.chmod(work_dir, 0o755)
        running = start_server(REFUSE, work_dir=work_dir, max_runs=3, rate_per_minute=1000)
        (base,) = (os.path.join(work_dir, name) for name in os.listdir(work_dir))
        first = set(os.listdir(base))
        os.kill(_template(running.process.pid, PLAIN), signal.SIGKILL)
        await_that(lambda: "starting another" in running.log and _works(running))
        # The mark stays, and those of the other zygote's children: one that waits, and one for an admin.
        await_that(lambda: len(first & set(os.listdir(base))) == 3 and len(os.listdir(base)) == len(first))


def _without_mounts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have runs get their directories on disk here as well."""
    refused = "from pyexec.kernel import namespaces as n; p = n.probe; "
    refused += "n.probe = lambda *a: (tuple(x for x in p(*a)[0] if x != 'mount'), {'mount': 'left out'}); "
    monkeypatch.setattr(zygotes, "_BOOT", zygotes._BOOT.replace("from pyexec.zygote", refused + "from pyexec.zygote"))


def test_an_answer_is_whole_though_the_directory_can_not_be_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection was closed before the rest of it was sent, where that didn't fit into the first write."""
    _without_mounts(monkeypatch)
    with Sandbox(_config()) as sandbox, monkeypatch.context() as patch:
        tried = _make_unremovable(sandbox, patch)
        with sandbox.execution(Job("print(1)")) as outcome:
            assert outcome.stdout == b"1\n"
        assert len(set(tried)) == 1  # and again with each sweep


def test_directories_of_a_zygote_that_is_killed_go_once_its_children_are_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Now and then a killed template left one: removed before it was there, and made by a child that just still lived."""
    _without_mounts(monkeypatch)
    with tempfile.TemporaryDirectory() as work_dir:
        os.chmod(work_dir, 0o755)
        with Sandbox(_config(work_dir=work_dir)) as sandbox:
            for _ in range(3):
                base = sandbox._keeper.directories
                assert base is not None
                before = set(os.listdir(base.path))
                child = sandbox._keeper.pool("plain", True).take(time.monotonic() + 20)
                os.kill(_template(os.getpid(), PLAIN), signal.SIGKILL)
                sandbox._keeper.release(child)
                await_that(lambda: sandbox.state()["ready"] and sandbox.run(Job("print(1)")).stdout == b"1\n")
                # Those of the other kind stay; of the plain ones there are as many as wait, and none of the old.
                await_that(lambda b=base, old=before: len(os.listdir(b.path)) == len(old))
                assert (
                    child.directory is None and len(before & set(os.listdir(base.path))) == 2
                )  # the mark, the other's


def test_what_could_not_be_removed_goes_with_a_later_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that was just being made is not taken for one that was left."""
    with tempfile.TemporaryDirectory() as parent:
        base = Base(parent)
        first, second = base.make(None), base.make(None)
        with monkeypatch.context() as patch:
            patch.setattr(workdirs_on_disk, "remove_tree", _fails(OSError(errno.EMFILE, "Too many open files")))
            base.remove(first)
        assert sorted(os.listdir(base.path)) == sorted([first.name, second.name, Base.MARK])
        for _ in range(2):  # it may be called at any time
            base.sweep()
            assert sorted(os.listdir(base.path)) == sorted([second.name, Base.MARK])
        for directory in (first, second):
            directory.close()
        base.close()
        assert os.listdir(parent) == []


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_a_server_without_descriptors_does_not_say_what_a_run_left(monkeypatch: pytest.MonkeyPatch, number) -> None:
    """A 200 said that the file could not be read, and a directory too large counted as empty."""
    with tempfile.TemporaryDirectory() as path:
        fd = os.open(path, os.O_RDONLY)
        with open(path + "/a", "w") as file:
            file.write("x")
        with monkeypatch.context() as patch:
            patch.setattr(os, "dup", _fails(OSError(number, os.strerror(number))))
            with pytest.raises(OSError, match=os.strerror(number)):
                list(workdir.collect(fd, ["a"], 10))
            with pytest.raises(OSError, match=os.strerror(number)):
                workdir.usage(fd, 10)
        assert list(workdir.collect(fd, ["a"], 10))[0].content == b"x" and workdir.usage(fd, 10).files == 1
        os.close(fd)


def test_files_in_a_directory_that_may_only_be_listed_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a server that is not root they counted as nothing: a run could fill the disk with them."""
    with tempfile.TemporaryDirectory() as path:
        os.chmod(path, 0o755)
        os.mkdir(path + "/d")
        for name in "abc":
            open(path + "/d/" + name, "w").close()
        os.chmod(path + "/d", 0o444)
        fd = os.open(path, os.O_RDONLY)
        pid = os.fork()
        if pid == 0:
            if os.getuid() == 0:
                os.setresuid(65534, 65534, 65534)
            os._exit(workdir.usage(fd, 10).files)
        os.close(fd)
        assert os.WEXITSTATUS(os.waitpid(pid, 0)[1]) == 11  # more than are allowed


@pytest.mark.parametrize("code", ["time.sleep(0.1)", "time.sleep(5)"])
def test_a_server_that_looks_late_does_not_call_it_a_timeout(monkeypatch: pytest.MonkeyPatch, code) -> None:
    """A run that had ended in time was one if the server was stopped meanwhile, or had too large a directory to count."""

    def look(watch: usage.Watch, ended: bool) -> None:
        monkeypatch.undo()
        time.sleep(1.2)

    monkeypatch.setattr(usage.Watch, "exceeded", look)
    with Sandbox(_config(wall_s=1)) as sandbox:
        outcome = sandbox.run(Job("import time\n" + code, admin=True))
        assert outcome.verdict == (TIMEOUT if "5" in code else ENDED)


def _kill_before_the_job_is_read(monkeypatch: pytest.MonkeyPatch, times: int) -> List[str]:
    """Have the next children stopped before their job comes, and killed with it unread; return what these were."""
    hand_over = run.hand_over
    killed: List[str] = []

    def stop(child: handles.ChildHandle, job: Job, owner: Any) -> None:
        hand_over(child, job, owner)
        if len(killed) < times:
            killed.append(job.code)
            child.stop()
            await_that(lambda: [pid for pid in descendants(os.getpid()) if state(pid) == "T"] != [])
            threading.Timer(0.2, child.kill).start()

    monkeypatch.setattr(run, "hand_over", stop)
    return killed


@pytest.mark.parametrize("admin", [False, True])
def test_a_child_killed_before_it_reads_its_job_is_no_fault_of_the_script(monkeypatch, admin) -> None:
    """The caller was told that the script, which never began, had used too much memory, and paid for it."""
    with Sandbox(_config()) as sandbox:
        killed = _kill_before_the_job_is_read(monkeypatch, 1)
        assert sandbox.run(Job("print(1)", admin=admin)).stdout == b"1\n"  # in another child
        assert len(killed) == 1


def test_children_killed_before_they_read_their_job_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    with Sandbox(_config()) as sandbox:
        killed = _kill_before_the_job_is_read(monkeypatch, 10)
        with pytest.raises(SandboxError, match="before it read its job"):
            sandbox.run(Job("print(1)"))
        assert len(killed) == 3
        monkeypatch.undo()
        assert sandbox.run(Job("print(1)")).stdout == b"1\n"


def test_a_child_that_missed_the_end_of_its_template_is_no_failed_layer(running) -> None:
    """Without a pid namespace one that was just being made said that a layer had failed: a 500 for the next caller."""
    for number in range(5):
        await_that(lambda expected=number: _restarts(running) == expected)
        assert running.client.execute("print(1)").stdout == "1\n"  # so that another child is just being made
        template = _template(running.process.pid, PLAIN)
        os.kill(template, signal.SIGKILL)
        await_that(lambda pid=template: not anyone_left([pid]))
        assert running.client.execute("print(%d)" % number).stdout == "%d\n" % number


def test_a_run_whose_end_nobody_tells_has_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a pid namespace its processes went on for a moment, while its files were read and it was said to be over."""
    kill = handles.ChildHandle.kill

    def kill_both(child: handles.ChildHandle) -> None:
        monkeypatch.setattr(handles.ChildHandle, "kill", kill)
        os.kill(_template(os.getpid(), PLAIN), signal.SIGKILL)
        kill(child)

    with Sandbox(_config()) as sandbox:
        monkeypatch.setattr(handles.ChildHandle, "kill", kill_both)
        with pytest.raises(SandboxError, match="nobody can tell"):
            sandbox.run(Job("import os, time\nif os.fork() == 0: time.sleep(60)", admin=True))


def test_a_nursery_that_hangs_at_its_start_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server waited without end for it to notice that nobody wanted it any more, and started no other."""
    monkeypatch.setattr(zygotes, "_BOOT", "import time; time.sleep(30)  # %r")
    monkeypatch.setattr(zygotes, "_START_S", 0.2)
    monkeypatch.setattr(zygotes, "_END_S", 0.2)
    started: List[Any] = []
    start = zygotes.subprocess.Popen

    def noted(*arguments: Any, **named: Any) -> Any:
        started.append(start(*arguments, **named))
        return started[0]

    monkeypatch.setattr(zygotes.subprocess, "Popen", noted)
    with pytest.raises(SandboxError, match="did not start in time"):
        Sandbox(_config())
    assert started[0].returncode == -signal.SIGKILL


def test_a_second_without_descriptors_costs_no_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten starts failed within milliseconds, and the next was a minute later."""
    with Sandbox(_config()) as sandbox:
        short = threading.Event()
        short.set()
        threading.Timer(0.6, short.clear).start()

        def start(config: Config) -> zygotes.NurseryHandle:
            if short.is_set():
                raise OSError(errno.EMFILE, "Too many open files")
            return zygotes.NurseryHandle(config)

        monkeypatch.setattr(rows, "NurseryHandle", start)
        nursery = sandbox._keeper.rows._nursery
        assert nursery is not None
        os.kill(nursery.process.pid, signal.SIGKILL)
        nursery.process.wait()
        await_that(lambda: sandbox._keeper.rows.restarts() == 2)  # else a run could begin, and be lost with it
        assert sandbox.run(Job("print(1)")).stdout == b"1\n"


def test_children_that_die_one_after_the_other_are_not_made_without_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no process could be made a caller had thousands tried in its twenty seconds, each with a line in the log."""
    tried: List[Any] = []

    def fail(child: handles.ChildHandle, deadline: float = 0) -> None:
        tried.append(child)
        raise SandboxError("a child ended before it was ready")

    with Sandbox(_config()) as sandbox:
        monkeypatch.setattr(handles.ChildHandle, "await_ready", fail)
        for admin in (False, True):
            tried.clear()
            with pytest.raises(SandboxError):
                sandbox._keeper.pool("plain", admin).take(time.monotonic() + 0.5)
            assert 2 <= len(tried) <= 6
        monkeypatch.undo()
        assert sandbox.run(Job("print(1)")).stdout == b"1\n"


@pytest.mark.parametrize("admin", [False, True])
def test_a_child_that_there_is_no_memory_for(monkeypatch: pytest.MonkeyPatch, admin) -> None:
    """Its slot was lost; when the keeper made it, with the keeper's thread: there was never another zygote."""
    with Sandbox(_config()) as sandbox:
        for owner, name in ((zygotes.ZygoteHandle, "send_order"), (handles.ChildHandle, "__init__")):
            await_that(lambda: sandbox.state()["waiting"] == 2)
            with monkeypatch.context() as patch:
                patch.setattr(owner, name, _fails(MemoryError()))
                if not admin:
                    # In the one that waited; no other can be made behind it.
                    assert sandbox.run(Job("1")).exit_code == 0
                with pytest.raises((SandboxError, MemoryError)):
                    sandbox._keeper.pool("plain", admin).take(time.monotonic() + 0.5)
            assert sandbox.run(Job("print(1)", admin=admin)).stdout == b"1\n"
        await_that(lambda: sandbox._keeper.slots.free_count == POOLS - 2)  # two wait; none is lost
