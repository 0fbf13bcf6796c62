"""The course of a run: which event means which verdict, what is stopped or killed, and which zygote a script gets."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from typing import Any, Iterator, List

import pytest
from processes import await_that, state

from pyexec.config import Config
from pyexec.errors import SandboxError
from pyexec.job import ENDED, FORBIDDEN, RESOURCE, TIMEOUT, Attachment, HostReport, Job
from pyexec.kernel import libc
from pyexec.presence import CallerGone
from pyexec.runs.child_handle import ChildHandle
from pyexec.runs.events import Abandoned, Died, Ended, Forbidden, Late, Lost, Unbegun
from pyexec.runs.run import Run, UnbegunError, settle
from pyexec.runs.slots import Slot
from pyexec.runs.zygote_table import Rows


@pytest.mark.parametrize(
    "event,verdict,code",
    [
        (Ended(3, [1.0]), ENDED, 3),
        (Ended(-9), ENDED, -9),  # of an admin's script that killed itself
        (Died(7), ENDED, 7),
        (Died(-11), ENDED, -11),
        (Died(-9, 12), RESOURCE, -9),
        (Ended(-9, None, 12), RESOURCE, -9),
        (Forbidden(("os",)), FORBIDDEN, -9),
        (Late(), TIMEOUT, -9),
    ],
)
def test_what_an_event_means(event, verdict, code) -> None:
    end = Run._end_of(event)
    assert (end.verdict, end.exit_code) == (verdict, code)
    if verdict == RESOURCE:
        assert end.details == {"resource": "cpu", "limit": 12}


@pytest.mark.parametrize("event,error", [(Died(-9), SandboxError), (Lost(), SandboxError), (Unbegun(), UnbegunError)])
def test_what_is_no_fault_of_the_script(event, error) -> None:
    with pytest.raises(SandboxError) as caught:
        Run._end_of(event)
    assert type(caught.value) is error


def test_a_run_that_nobody_waits_for_has_no_outcome() -> None:
    with pytest.raises(CallerGone) as caught:
        Run._end_of(Abandoned())
    assert caught.value.begun


@pytest.mark.parametrize(
    "code,kind",
    [
        ("print(1)", "plain"),
        ("", "plain"),
        ("import numpy", "default"),
        ("from PIL import Image", "default"),
        ("x = 'fpdf'", "default"),
        ("import numpy, reportlab", "default"),
        ("nump", "plain"),
        ("__import__('num' + 'py')", "plain"),  # and loads it by itself
    ],
)
def test_a_script_gets_the_lightest_zygote_that_has_what_it_names(code, kind) -> None:
    assert Rows(Config.of(), print).kind_for(code) == kind


def test_attached_modules_are_looked_at_as_well() -> None:
    module, other = Attachment("h.py", b"import numpy"), Attachment("h.txt", b"import numpy")
    long, wrong = Attachment("h.py", b"#" * 65536 + b"\nimport numpy"), Attachment("h.py", b"\xff numpy")
    kind_for = Rows(Config.of(), print).kind_for
    found = [kind_for(Job("import h", attachments=(each,)).text) for each in (module, other, long, wrong)]
    assert found == ["default", "plain", "plain", "default"]


def test_what_an_operator_added_is_in_the_last_zygote_once_that_has_loaded_it() -> None:
    rows = Rows(Config.of(modules="+pandas +polars"), print)
    rows.added = ("pandas", "polars")
    assert [rows.kind_for(code) for code in ("import pandas", "import polars", "print(1)")] == ["default"] * 2 + [
        "plain"
    ]
    rows.rows[-1].zygote = object()  # type: ignore[assignment]
    rows.report = HostReport((), (), (), False, {}, 0, "", {"pandas": "1"}, ())
    assert [rows.kind_for(code) for code in ("import pandas", "import polars", "print(1)")] == [
        "added",
        "default",
        "plain",
    ]


PROGRAMS = {
    "one thread": "pass",
    "two threads": "import threading; threading.Thread(target=time.sleep, args=(99,), daemon=True).start()",
    "a process": "os.fork() or time.sleep(99)",
}


class Standing(ChildHandle):
    """A handle on a process of this test's own, which stands for a run that says that it has ended."""

    def __init__(self, admin: bool, program: str) -> None:
        super().__init__(Slot(0, 0), admin)
        self.process = subprocess.Popen(
            [sys.executable, "-c", "import os, sys, time\n%s\nprint('there', flush=True)\ntime.sleep(99)" % program],
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        self.process.stdout.readline()
        self.pidfd = libc.pidfd_open(self.process.pid)
        self.awaited: List[float] = []

    def await_gone(self, timeout_s: float) -> bool:
        self.awaited.append(timeout_s)
        return self.process.wait(timeout_s) is not None

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.close()


@pytest.fixture
def standing() -> Iterator[Any]:
    made: List[Standing] = []

    def make(admin: bool, program: str) -> Standing:
        made.append(Standing(admin, program))
        return made[-1]

    yield make
    for child in made:
        child.end()


@pytest.mark.parametrize("event", [Ended(0), Forbidden(("os",))])
def test_a_public_run_of_one_thread_is_stopped_and_stands(standing, event) -> None:
    child = standing(False, PROGRAMS["one thread"])
    settle(child, event, True)
    await_that(lambda: state(child.process.pid) == "T")
    assert not child.awaited


@pytest.mark.parametrize("own_pids", [False, True])
@pytest.mark.parametrize(
    "admin,program", [(False, "two threads"), (True, "two threads"), (True, "one thread"), (True, "a process")]
)
def test_a_run_of_more_threads_or_processes_is_killed_and_awaited(standing, admin, program, own_pids) -> None:
    """Of an admin's there must be two processes, the supervisor and the script's: one alone is not as it should be."""
    if program == "a process":  # one beside those two
        program = "os.fork() or time.sleep(99)\nif os.fork() == 0: time.sleep(99)"
    else:
        program = PROGRAMS[program]
    child = standing(admin, program)
    settle(child, Ended(0), own_pids)
    assert child.awaited and child.process.returncode == -signal.SIGKILL


@pytest.mark.parametrize("own_pids", [False, True])
def test_an_admin_run_of_two_processes_is_stopped_whole(standing, own_pids) -> None:
    child = standing(True, PROGRAMS["a process"])
    settle(child, Ended(0), own_pids)
    assert not child.awaited
    with open("/proc/%d/task/%d/children" % (child.process.pid, child.process.pid)) as file:
        (script,) = map(int, file.read().split())
    await_that(lambda: state(child.process.pid) == state(script) == "T")


def test_where_a_group_can_not_be_stopped_it_is_killed(standing, monkeypatch) -> None:
    """Before Linux 6.9 no signal goes to a group by a pidfd."""
    child = standing(True, PROGRAMS["a process"])
    refused = OSError(22, "Invalid argument")

    def stop() -> None:
        raise refused

    monkeypatch.setattr(child, "stop", stop)
    settle(child, Ended(0), True)
    assert child.awaited


@pytest.mark.parametrize("event", [Late()])
def test_every_other_end_is_a_kill(standing, event) -> None:
    child = standing(False, PROGRAMS["one thread"])
    settle(child, event, True)
    assert child.awaited


def test_a_run_that_does_not_die_has_no_answer(standing, monkeypatch) -> None:
    child = standing(False, PROGRAMS["one thread"])
    monkeypatch.setattr(child, "await_gone", lambda timeout_s: False)
    with pytest.raises(SandboxError, match="has not ended"):
        settle(child, Late(), True)


def test_what_is_dead_is_left_alone() -> None:
    settle(None, Died(0), True)  # type: ignore[arg-type]
