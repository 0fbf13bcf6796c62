"""The table of zygotes with a nursery that is none, and the keeper on real ones: each row lives and fails by itself."""

from __future__ import annotations

import dataclasses
import os
import signal
import socket
import threading
import time
from typing import Any, Dict, List, Optional, Sequence

import pytest
from processes import anyone_left, await_that, descendants, resident_bytes

from pyexec import Config, Job, Sandbox, messages
from pyexec.errors import SandboxError
from pyexec.job import ENDED, DangerStatus, HostReport, LayerStatus
from pyexec.runs import zygote_row, zygote_table
from pyexec.runs.zygote_table import Rows

REPORT = HostReport(
    layers=(LayerStatus("seccomp", True, ""), LayerStatus("landlock", False, "")),
    dangers=(DangerStatus("attack the kernel", ("seccomp",), ""),),
    namespaces=("pid", "mount"),
    own_uids=True,
    calls={"public": 1, "admin": 2},
    tmpfs_bytes=0,
    python="3",
    libraries={},
    missing=(),
)
ADDING = dataclasses.replace(REPORT, added=("late",))


class FakeNursery:
    """Reports at once, and lives until told otherwise."""

    def __init__(self, config: Config) -> None:
        self.control, self.far = messages.pair()
        self.report: Optional[HostReport] = None
        self.is_ended = self.was_ended = False
        FakeNursery.made.append(self)
        if FakeNursery.fault is not None:
            fault, FakeNursery.fault = FakeNursery.fault, None
            raise fault

    made: List[FakeNursery] = []
    fault: Optional[Exception] = None

    def receive_report(self) -> None:
        self.report = REPORT

    def ended(self) -> bool:
        return self.is_ended

    def end(self) -> None:
        self.was_ended = True


class FakeZygote:
    """Ready at once; each lives until told otherwise."""

    def __init__(self, kind: str, nursery: FakeNursery, without: Sequence[str] = ()) -> None:
        self.kind, self.nursery, self.due = kind, nursery, time.monotonic() + 60
        self.libraries: Optional[Dict[str, Any]] = None
        self.control: Optional[socket.socket] = None
        self.is_alive, self.closed, self.is_gone, self.has_served = True, False, True, False
        FakeZygote.made.append(self)

    made: List[FakeZygote] = []
    fault: Dict[str, Exception] = {}

    def receive_ready(self) -> bool:
        if self.kind in FakeZygote.fault:
            self.is_alive = False  # it ended by itself, so that the nursery isn't to blame
            raise FakeZygote.fault[self.kind]
        self.libraries = {"libraries": {"numpy": "2"}, "missing": ["fpdf"], "not_loaded": {}}
        return True

    def alive(self) -> bool:
        return self.is_alive and not self.nursery.is_ended

    def gone(self) -> bool:
        return self.is_gone

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(zygote_table, "NurseryHandle", FakeNursery)
    monkeypatch.setattr(zygote_row, "ZygoteHandle", FakeZygote)
    FakeNursery.made, FakeZygote.made, FakeZygote.fault, FakeNursery.fault = [], [], {}, None
    yield Rows(Config.of(), lambda report: None)
    for nursery in FakeNursery.made:
        nursery.control.close()
        nursery.far.close()


def test_all_kinds_come_from_one_nursery_the_heaviest_first(rows) -> None:
    rows.repair(0.0)
    assert rows.serving() and len(FakeNursery.made) == 1
    assert [zygote.kind for zygote in FakeZygote.made] == ["default", "plain"]
    assert rows.report.libraries == {"numpy": "2"} and rows.report.missing == ("fpdf",)
    for now in (0.0, 1.0, 2.0):
        rows.repair(now)
    assert len(FakeZygote.made) == 2 and rows.restarts() == 0


@pytest.mark.parametrize("kind", ["plain", "default"])
def test_one_that_ends_is_replaced_alone(rows, kind, capsys) -> None:
    rows.repair(0.0)
    before = {row.kind.name: row.zygote for row in rows.rows}
    before[kind].is_alive = False
    rows.repair(1.0)
    after = {row.kind.name: row.zygote for row in rows.rows}
    assert after[kind] is not before[kind] and before[kind].closed and rows.serving()
    (other,) = set(before) - {kind}
    assert after[other] is before[other] and len(FakeNursery.made) == 1
    assert rows.restarts() == 1 and "%s zygote ended unexpectedly; starting another" % kind in capsys.readouterr().err


def test_with_the_nursery_all_are_replaced(rows) -> None:
    rows.repair(0.0)
    FakeNursery.made[0].is_ended = True
    rows.repair(1.0)
    assert rows.serving() and len(FakeNursery.made) == 2 and len(FakeZygote.made) == 4 and rows.restarts() == 2
    assert FakeNursery.made[0].was_ended


@pytest.mark.parametrize("served", [False, True])
def test_the_one_for_added_libraries_is_given_up_if_it_never_lives_to_a_run(monkeypatch, rows, served, capsys) -> None:
    monkeypatch.setattr(FakeNursery, "receive_report", lambda nursery: setattr(nursery, "report", ADDING))
    rows = Rows(Config.of(modules="+late"), lambda report: None)
    now = 0.0
    for _ in range(6):
        rows.repair(now)
        rows.repair(now + 20)
        last = rows.rows[-1]
        if last.zygote is not None:
            last.zygote.is_alive, last.zygote.has_served = False, served
        now += 60
    assert last.given_up is not served and last.restarts == (6 - served if served else 3)
    assert rows.serving() and rows.all_loaded()
    if not served:
        assert "late" in rows.report.not_loaded and rows.kind_for("import late") != "added"
        assert "late not loaded ahead of the runs" in capsys.readouterr().err


def test_what_never_served_is_given_up(rows) -> None:
    FakeZygote.fault = {"default": SandboxError("no numpy for you")}
    with pytest.raises(SandboxError, match="numpy"):
        rows.repair(0.0)


def test_a_restart_that_fails_is_tried_again_with_a_pause_that_doubles(rows, capsys) -> None:
    rows.repair(0.0)
    FakeZygote.fault = {"plain": SandboxError("short of memory")}
    FakeZygote.made[1].is_alive = False
    tried, now, pauses = len(FakeZygote.made), time.monotonic(), []
    for _ in range(4):
        due = rows.repair(now)
        tried += 1
        assert len(FakeZygote.made) == tried
        rows.repair(now + 0.9 * (due - now))  # too early: nothing
        assert len(FakeZygote.made) == tried
        pauses.append(due - now)
        now = due
    assert pauses == pytest.approx([0.25, 0.5, 1.0, 2.0])
    assert rows.rows[1].zygote is FakeZygote.made[0] and len(FakeNursery.made) == 1
    FakeZygote.fault = {}
    rows.repair(now)
    assert rows.serving()


def test_it_is_restarted_a_bounded_number_of_times_a_minute(rows) -> None:
    started = time.monotonic()
    rows.repair(started)
    for _ in range(30):
        rows.rows[0].zygote and setattr(rows.rows[0].zygote, "is_alive", False)
        due = rows.repair(time.monotonic())
    assert sum(zygote.kind == "plain" for zygote in FakeZygote.made) == 10
    assert 50 < due - started <= 61
    assert rows.rows[1].zygote is FakeZygote.made[0]  # the other serves on


def test_one_with_fewer_layers_than_at_the_start_does_not_serve(rows, monkeypatch) -> None:
    rows.repair(0.0)
    bare = tuple(LayerStatus(status.name, False, "") for status in REPORT.layers)
    monkeypatch.setattr(
        FakeNursery,
        "receive_report",
        lambda nursery: setattr(nursery, "report", REPORT.__class__(**{**vars(REPORT), "layers": bare})),
    )
    FakeNursery.made[0].is_ended = True
    rows.repair(1.0)
    assert not rows.serving() and FakeNursery.made[1].was_ended


def test_what_a_zygote_leaves_is_awaited(rows) -> None:
    rows.repair(0.0)
    zygote = FakeZygote.made[0]
    zygote.is_alive = zygote.is_gone = False
    assert rows.repair(1.0) <= 1.2  # and looked at again soon
    assert rows._ending == [zygote]
    zygote.is_gone = True
    rows.repair(2.0)
    assert rows._ending == []


def test_a_zygote_that_is_killed_disturbs_no_run_of_another() -> None:
    config = Config.of(max_runs=2, uid_base=32000000 + 20 * os.getpid())
    with Sandbox(config) as sandbox:
        found: List[Any] = []
        thread = threading.Thread(
            target=lambda: found.append(sandbox.run(Job("import time\ntime.sleep(1.5)\nprint('whole')")))
        )
        thread.start()
        time.sleep(0.3)  # until it runs
        default = sandbox._keeper.rows.rows[1].zygote
        nursery = sandbox._keeper.rows._nursery
        assert nursery is not None
        largest = max(descendants(nursery.process.pid), key=resident_bytes)
        os.kill(largest, signal.SIGKILL)
        await_that(lambda: not anyone_left([largest]))
        assert sandbox.run(Job("import numpy\nprint(numpy.ones(3).sum())")).stdout == b"3.0\n"
        thread.join()
        assert [(outcome.verdict, outcome.stdout) for outcome in found] == [(ENDED, b"whole\n")]
        assert sandbox._keeper.rows.rows[1].zygote is not default and sandbox.state()["restarts"] == 1
        left = descendants(nursery.process.pid)
    await_that(lambda: not anyone_left(left))
