"""Runs' directories on a disk, where none can be mounted: whose they are, and that they go."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from typing import List, Set, Tuple

import pytest
from processes import PLAIN, await_that, zygote
from sandboxes import failing, own_config, without_mounts
from servers import left_by_runs, works
from support import ROOT
from wrappers import DOCKER

from pyexec.client import ServiceError
from pyexec.job import Job
from pyexec.runs import workdir
from pyexec.runs import workdirs_on_disk as base_module
from pyexec.runs.workdirs_on_disk import Base
from pyexec.sandbox import Sandbox


def test_what_could_not_be_removed_goes_with_a_later_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a directory that belongs to a run isn't taken for one that was left."""
    with tempfile.TemporaryDirectory() as parent:
        base = Base(parent)
        first, second = base.make(None), base.make(None)
        with monkeypatch.context() as patch:
            patch.setattr(base_module, "remove_tree", failing(OSError(errno.EMFILE, "Too many open files")))
            base.remove(first)
        assert sorted(os.listdir(base.path)) == sorted([first.name, second.name, Base.MARK])
        for _ in range(2):  # it may be called at any time
            base.sweep()
            assert sorted(os.listdir(base.path)) == sorted([second.name, Base.MARK])
        for directory in (first, second):
            directory.close()
        base.close()
        assert os.listdir(parent) == []


@pytest.mark.parametrize(
    "code", ["os.fchmod(os.open('.', 0), 0)", "os.mkdir('d', 0)", "os.mkdir('d'); os.rename('d', 'e')"]
)
def test_directories_without_rights_are_removed(start_server, code) -> None:
    with tempfile.TemporaryDirectory(prefix="work-dir-") as work_dir:
        os.chmod(work_dir, 0o755)
        running = start_server(DOCKER, work_dir=work_dir, rate_per_minute=100)
        try:
            running.admin.execute("import os\n" + code)
        except ServiceError as error:
            assert error.type == "ResourceLimitError"  # a directory that hides what is in it counts as too many files
        assert running.client.execute("print(1)").stdout == "1\n"
        await_that(lambda: left_by_runs(work_dir) == [])
        assert running.stop() == 0 and os.listdir(work_dir) == []


def test_servers_that_start_at_once_leave_each_other_their_directories(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if one starts between the other's making its directory and locking it."""
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


def test_directories_of_children_that_waited_are_removed_when_their_zygote_is_killed(start_server) -> None:
    with tempfile.TemporaryDirectory(prefix="work-dir-") as work_dir:
        os.chmod(work_dir, 0o755)
        running = start_server(DOCKER, work_dir=work_dir, max_runs=3, rate_per_minute=1000)
        (base,) = (os.path.join(work_dir, name) for name in os.listdir(work_dir))
        first = set(os.listdir(base))
        os.kill(zygote(running.process.pid, PLAIN), signal.SIGKILL)
        await_that(lambda: "starting another" in running.log and works(running))
        # The mark stays, and those of the other zygote's children: one that waits, and one for an admin.
        await_that(lambda: len(first & set(os.listdir(base))) == 3 and len(os.listdir(base)) == len(first))
        assert running.stop() == 0 and os.listdir(work_dir) == []


def test_an_answer_is_whole_though_the_directory_can_not_be_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    without_mounts(monkeypatch)
    tried: List[str] = []

    def fail(parent_fd: int, name: str) -> None:
        tried.append(name)
        raise OSError(errno.EMFILE, "Too many open files")

    with Sandbox(own_config()) as sandbox, monkeypatch.context() as patch:
        patch.setattr(base_module, "remove_tree", fail)
        with sandbox.execution(Job("print(1)")) as outcome:
            assert outcome.stdout == b"1\n"
        assert len(set(tried)) == 1  # and again with each sweep


def test_directories_of_a_zygote_that_is_killed_go_once_its_children_are_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that lives on for a moment may write while its directory is removed."""
    without_mounts(monkeypatch)
    with tempfile.TemporaryDirectory() as work_dir:
        os.chmod(work_dir, 0o755)
        with Sandbox(own_config(work_dir=work_dir)) as sandbox:
            for restarts in range(1, 4):
                base = sandbox._keeper.directories
                assert base is not None
                before = set(os.listdir(base.path))
                child = sandbox._keeper.pool("plain", True).take(time.monotonic() + 20)
                os.kill(zygote(os.getpid(), PLAIN), signal.SIGKILL)
                sandbox._keeper.release(child)
                # Not before the end is noticed, or a run could begin in a child that dies with the old one.
                await_that(lambda n=restarts: (sandbox.state()["restarts"], sandbox.state()["ready"]) == (n, True))
                assert sandbox.run(Job("print(1)")).stdout == b"1\n"
                # Those of the other kind stay; of the plain ones there are as many as wait, and none of the old.
                await_that(lambda b=base, old=before: _counts(b.path, old) == (len(old), 2))  # the mark, the other's
                assert child.directory is None


def _counts(path: str, before: Set[str]) -> Tuple[int, int]:
    """Return how many entries there are, and how many of them were there before."""
    now = set(os.listdir(path))
    return len(now), len(now & before)


def _abandon(parent: str) -> str:
    """Have a base made by a process that then ends at once, as if killed; return its name."""
    program = "import os, sys\nsys.path.insert(0, sys.argv[1])\nfrom pyexec.runs.workdirs_on_disk import Base\nbase = Base(sys.argv[2])\n"
    program += "base.make(None).close(); print(os.path.basename(base.path), flush=True); os._exit(0)"
    return subprocess.check_output([sys.executable, "-c", program, ROOT, parent], text=True).strip()


def test_only_what_bears_our_mark_is_removed() -> None:
    """A start removed an unpacked source archive, /tmp/pyexec-main, and whatever else was called so."""
    with tempfile.TemporaryDirectory() as parent:
        alike = "pyexec-" + "0" * 32
        kept = ["pyexec-main", "pyexec-0.1.0", alike, "pyexec-" + "1" * 32, "pyexec-" + "2" * 32, "pyexec-" + "3" * 32]
        for name in kept:
            os.mkdir(os.path.join(parent, name))
            with open(os.path.join(parent, name, "README.md"), "w") as file:
                file.write("mine")
        gone = _abandon(parent)
        for name in kept[:4]:  # the mark of another directory is no mark
            shutil.copy(os.path.join(parent, gone, Base.MARK), os.path.join(parent, name))
        with open(os.path.join(parent, gone, Base.MARK), encoding="ascii") as file:
            words = file.read()
        right = os.path.join(parent, kept[4])
        words = words.replace(gone, kept[4]).replace(
            str(os.stat(os.path.join(parent, gone)).st_ino), str(os.stat(right).st_ino)
        )
        with open(os.path.join(right, Base.MARK), "w", encoding="ascii") as file:
            file.write(words)
        os.chmod(right, 0o777)  # right in every word; but anybody may have written it
        os.symlink(os.path.join(parent, gone, Base.MARK), os.path.join(parent, kept[5], Base.MARK))
        base = Base(parent)
        assert sorted(os.listdir(parent)) == sorted([*kept, os.path.basename(base.path)])  # and the abandoned is gone
        assert all("README.md" in os.listdir(os.path.join(parent, name)) for name in kept)
        base.close()
        os.chmod(right, 0o755)
        os.unlink(os.path.join(right, "README.md"))
        Base(parent).close()
        assert sorted(os.listdir(parent)) == sorted(set(kept) - {kept[4]})  # the control: that was all that was wrong


def test_the_directory_of_another_user_stays(monkeypatch) -> None:
    with tempfile.TemporaryDirectory() as parent:
        gone = _abandon(parent)
        somebody = os.geteuid() + 1
        with monkeypatch.context() as patch:
            patch.setattr(os, "geteuid", lambda: somebody)
            Base(parent).close()
        assert os.listdir(parent) == [gone]
        Base(parent).close()
        assert os.listdir(parent) == []


def test_what_a_failed_removal_left_is_known_at_the_next_start(monkeypatch, capfd) -> None:
    """The mark goes last."""

    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with tempfile.TemporaryDirectory() as parent:
        gone = _abandon(parent)
        with monkeypatch.context() as patch:
            patch.setattr(base_module, "remove_tree", fail)
            Base(parent).close()
        assert os.listdir(parent) == [gone] and "could not remove %s" % gone in capfd.readouterr().err
        Base(parent).close()
        assert os.listdir(parent) == []


def test_a_base_that_has_no_room_for_its_mark_is_taken_back(monkeypatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with tempfile.TemporaryDirectory() as parent:
        monkeypatch.setattr(workdir, "put", fail)
        with pytest.raises(OSError, match="No space left"):
            Base(parent)
        assert os.listdir(parent) == []


def test_run_directories_have_names_that_nobody_guesses() -> None:
    with tempfile.TemporaryDirectory() as parent:
        base = Base(parent)
        made = [base.make(None) for _ in range(100)]
        names = {directory.name for directory in made}
        for directory in made:
            directory.close()
        assert len(names) == 100 and all(len(name) == 32 and set(name) <= set("0123456789abcdef") for name in names)
        base.close()
