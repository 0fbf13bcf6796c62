"""A run is stopped for a look where names change, so that no directory is elsewhere whenever it is looked for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import Any, List, Tuple

import pytest
from support import ROOT
from wrappers import DOCKER

from pyexec.runs import workdir
from pyexec.runs.processes import Process
from pyexec.runs.standstill import Standstill


class Child:
    """Notes the signals that it gets, and stops at the second look at it."""

    admin = False

    def __init__(self, states: bytes = b"RT", failing: Tuple[int, ...] = ()) -> None:
        self.signals: List[int] = []
        self._states, self._failing = list(states), list(failing)

    def stop(self) -> None:
        self.signal_all(signal.SIGSTOP)

    def signal_all(self, number: int) -> None:
        if number in self._failing:
            self._failing.remove(number)
            raise OSError
        self.signals.append(number)

    def first_process(self) -> Process:
        state = self._states.pop(0) if len(self._states) > 1 else self._states[0]
        return Process(os.getpid(), bytes([state]), 1, 1, 1)


def _standstill(child: Any) -> Standstill:
    return Standstill(child, lambda first: [first])


def test_a_run_stands_still_during_the_look_and_goes_on() -> None:
    child = Child()
    with _standstill(child).hold() as is_still:
        assert is_still and child.signals == [signal.SIGSTOP]
    assert child.signals == [signal.SIGSTOP, signal.SIGCONT]


def test_a_run_goes_on_when_the_look_fails() -> None:
    child = Child()
    with pytest.raises(ZeroDivisionError), _standstill(child).hold():
        1 / 0
    assert child.signals == [signal.SIGSTOP, signal.SIGCONT]


def test_a_run_that_is_over_stays_as_it_is() -> None:
    child = Child()
    with _standstill(child).hold(for_good=True):
        pass
    assert child.signals == [signal.SIGSTOP]


def test_whoever_looks_next_lets_a_run_go_on() -> None:
    child = Child()
    standstill = _standstill(child)
    standstill._is_on = True  # as after an exception of the interpreter's own between two lines
    standstill.end()
    standstill.end()
    assert child.signals == [signal.SIGCONT]


def test_where_a_run_cannot_be_stopped_nothing_stands_still() -> None:
    child = Child(b"R", failing=(signal.SIGSTOP,))
    with _standstill(child).hold() as is_still:
        assert not is_still


def test_waiting_for_a_run_that_does_not_stop_has_an_end() -> None:
    child = Child(b"D")
    standstill = _standstill(child)
    with standstill.hold() as is_still:
        assert not is_still
    assert standstill.is_due() and child.signals[-1] == signal.SIGCONT


def test_a_run_stands_still_for_a_small_part_of_its_time() -> None:
    standstill = _standstill(Child())
    assert standstill.is_due()
    began = time.monotonic()
    with standstill.hold():
        time.sleep(0.02)
    held = time.monotonic() - began
    while not standstill.is_due():
        time.sleep(0.005)
    assert time.monotonic() - began >= held + min(0.2, 9 * held)


# -- the look itself --------------------------------------------------------------------------------------------------


def test_a_directory_whose_names_have_changed_lately_is_in_flux(tmp_path: Any) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a").write_bytes(b"x")
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        time.sleep(0.05)
        assert not workdir.usage(fd, 10).in_flux
        (tmp_path / "d" / "a").write_bytes(b"more")  # no name has changed
        assert not workdir.usage(fd, 10).in_flux
        (tmp_path / "d" / "a").rename(tmp_path / "d" / "b")
        os.utime(tmp_path / "d", (1, 1))
        found = workdir.usage(fd, 10)
        assert found.in_flux and not found.vanished
    finally:
        os.close(fd)


def test_what_is_renamed_between_its_listing_and_its_turn_has_vanished(tmp_path: Any, monkeypatch: Any) -> None:
    (tmp_path / "d").mkdir()
    open_below = workdir.open_below

    def too_late(name: Any, *rest: Any) -> int:
        (tmp_path / name).rename(tmp_path / "e")
        return open_below(name, *rest)

    monkeypatch.setattr(workdir, "open_below", too_late)
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        found = workdir.usage(fd, 10)
    finally:
        os.close(fd)
    assert found.vanished and found.in_flux


# -- attacks, and honest scripts that do the like ---------------------------------------------------------------------

# A hundred files of the run's own lengthen the step from a listing to what was listed; here the server waits in it, so
# that who wins the race doesn't depend on the machine. Without a standstill it waits until the script has won.
PROGRAM = """
import contextlib, os, sys, time
sys.path.insert(0, sys.argv[1])
from pyexec.config import Config
from pyexec.job import Job
from pyexec.runs import standstill, workdir
from pyexec.sandbox import Sandbox

open_below = workdir.open_below
def slowly(name, flags, directory_fd):
    deadline = time.monotonic() + (3 if sys.argv[3] == "moving" and name[0] == "d" else 0.005)
    with contextlib.suppress(FileNotFoundError):
        while time.monotonic() < deadline:
            os.stat(name, dir_fd=directory_fd)
            time.sleep(0.001)
    return open_below(name, flags, directory_fd)
workdir.open_below = slowly

if sys.argv[3] == "moving":
    @contextlib.contextmanager
    def hold(self, for_good=False):
        yield False
    standstill.Standstill.hold = hold

config = Config.of(max_runs=1, wall_s=30, workdir_bytes=24 << 20, workdir_files=200, uid_base=int(sys.argv[2]))
with Sandbox(config) as sandbox:
    assert not sandbox.report.own_tree
    job = Job(sys.stdin.read(), admin=sys.argv[4] == "admin")
    for _ in range(int(sys.argv[5])):
        outcome = sandbox.run(job)
        print(outcome.verdict, outcome.resource, *outcome.stdout.decode().split(), *outcome.stderr.decode().split())
"""
RENAME = """
import shutil, threading, time
from pathlib import Path
rename, ended = shutil.os.rename, []
for place in "pq":
    Path(place).mkdir()
Path("p/d0/e").mkdir(parents=True)
%s
def move():
    number = 0
    while not ended:
        rename("p/d%%d" %% number, "%s/d%%d" %% (number + 1))
        rename("%s/d%%d" %% (number + 1), "p/d%%d" %% (number + 2))
        number += 2
"""
RENAME_IN_A_THREAD = (
    RENAME
    + """
thread = threading.Thread(target=move)
thread.start()
time.sleep(0.2)
use()
time.sleep(3)
print("kept", flush=True)
ended.append(1)
thread.join()
"""
)
# An admin's run may have a process for it, which must stand still, too.
RENAME_IN_A_PROCESS = (
    RENAME
    + """
import os, signal
pid = os.fork()
if not pid:
    move()
time.sleep(0.2)
use()
time.sleep(3)
print("kept", flush=True)
os.kill(pid, signal.SIGKILL)
"""
)
BYTES = """
files = [open("p/d0/e/%d" % number, "wb", buffering=0) for number in range(18)]
def use():
    for file in files:
        file.write(bytes(2 << 20))
        time.sleep(0.02)
"""
FILES = """
shutil.os.chdir("p/d0/e")
rename = lambda one, other, rename=rename: rename("../../../" + one, "../../../" + other)
def use():
    for number in range(400):
        Path(str(number)).touch()
        time.sleep(0.001)
"""
TRIES = 2


def _said(code: str, look: str, caller: str, tries: int = TRIES) -> List[str]:
    uids = str(30000000 + 10 * os.getpid())
    command = [*DOCKER, sys.executable, "-c", PROGRAM, ROOT, uids, look, caller, str(tries)]
    done = subprocess.run(command, input=code, capture_output=True, timeout=120, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("caller", ["public", "admin"])
@pytest.mark.parametrize("to", ["p", "q"])
@pytest.mark.parametrize(("use", "resource"), [(BYTES, "disk"), (FILES, "files")])
def test_a_directory_that_moves_all_the_time_counts(use, resource, to, caller) -> None:
    rename = RENAME_IN_A_THREAD if caller == "public" else RENAME_IN_A_PROCESS
    assert _said(rename % (use, to, to), "still", caller) == ["resource " + resource] * TRIES


@pytest.mark.parametrize(("use", "resource"), [(BYTES, "disk"), (FILES, "files")])
def test_without_a_standstill_it_would_not_count(use, resource) -> None:
    """The control: it holds more than it may for three seconds, and is found out once it has ended."""
    (said,) = _said(RENAME_IN_A_THREAD % (use, "p", "p"), "moving", "public", tries=1)
    assert said.endswith("kept"), said


HONEST = {
    "rename": """
import time
from pathlib import Path
for number in range(150):
    Path("%d-0" % number).mkdir()
Path("0-0/large").write_bytes(bytes(20 << 20))
began = time.monotonic()
round = 0
while time.monotonic() - began < 2:
    for number in range(150):
        Path("%d-%d" % (number, round)).rename("%d-%d" % (number, round + 1))
    round += 1
""",
    "move": """
import shutil, time
from pathlib import Path
Path("a").mkdir(); Path("b").mkdir(); Path("a/d").mkdir()
Path("a/d/large").write_bytes(bytes(20 << 20))
began = time.monotonic()
while time.monotonic() - began < 2:
    shutil.move("a/d", "b/d"); shutil.move("b/d", "a/d")
""",
    "rmtree": """
import shutil, tempfile, time
from pathlib import Path
began = time.monotonic()
while time.monotonic() - began < 2:
    with tempfile.TemporaryDirectory(dir=".") as place:
        for number in range(100):
            Path(place, str(number)).write_bytes(bytes(100000))
    Path("t/u").mkdir(parents=True)
    Path("t/u/large").write_bytes(bytes(10 << 20))
    shutil.rmtree("t")
""",
}


@pytest.mark.parametrize(("name", "caller"), [("rename", "public"), ("move", "public"), ("rmtree", "admin")])
def test_an_honest_script_that_renames_and_deletes_is_not_ended(name, caller) -> None:
    """Looked at without a standstill, a large file that moves can count twice."""
    assert _said(HONEST[name] + "print('done')\n", "still", caller, tries=1) == ["ended  done"]


def test_a_script_that_sleeps_or_has_a_handler_notices_nothing_worse_than_a_signal() -> None:
    code = """
import signal, time
from pathlib import Path
got = []
signal.signal(signal.SIGCONT, lambda *what: got.append(1))
for number in range(100):
    Path(str(number)).touch()
    began = time.monotonic()
    time.sleep(0.02)
    assert time.monotonic() - began >= 0.02
print(len(got) > 0)
"""
    assert _said(code, "still", "admin", tries=1) == ["ended  True"]
