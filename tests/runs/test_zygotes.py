"""Zygotes as the server keeps them: what it starts, what it refuses, and when it tries again."""

from __future__ import annotations

import dataclasses
import errno
import os
import signal
import threading
from typing import Any, List

import pytest
from processes import await_that
from sandboxes import own_config

from pyexec.config import Config
from pyexec.errors import SandboxError
from pyexec.job import Job
from pyexec.runs import zygote_handles, zygote_table
from pyexec.sandbox import Sandbox


def test_a_zygote_with_fewer_layers_than_the_one_before_is_refused() -> None:
    with Sandbox(Config.of(max_runs=1, uid_base=90000 + os.getpid() % 10000)) as sandbox:
        rows, report = sandbox._keeper.rows, sandbox.report
        fewer = tuple(dataclasses.replace(row, on=row.on and row.name != "landlock") for row in report.layers)

        class Poorer:
            def receive_report(self) -> None:
                self.report = dataclasses.replace(report, layers=fewer)

        with pytest.raises(SandboxError, match="landlock"):
            rows._check_nursery(Poorer())  # type: ignore[arg-type]
        assert rows.layers_on > {"landlock"}


def test_a_nursery_that_hangs_at_its_start_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """It doesn't notice that nobody wants it any more, so the server doesn't wait for it to end by itself."""
    monkeypatch.setattr(zygote_handles, "_BOOT", "import time; time.sleep(30)  # %r")
    monkeypatch.setattr(zygote_handles, "_START_S", 0.2)
    monkeypatch.setattr(zygote_handles, "_END_S", 0.2)
    started: List[Any] = []
    start = zygote_handles.subprocess.Popen

    def noted(*arguments: Any, **named: Any) -> Any:
        started.append(start(*arguments, **named))
        return started[0]

    monkeypatch.setattr(zygote_handles.subprocess, "Popen", noted)
    with pytest.raises(SandboxError, match="did not start in time"):
        Sandbox(own_config())
    assert started[0].returncode == -signal.SIGKILL


def test_starts_that_fail_at_once_do_not_put_off_the_next_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second without descriptors is enough for many to fail within milliseconds."""
    with Sandbox(own_config()) as sandbox:
        short = threading.Event()
        short.set()
        threading.Timer(0.6, short.clear).start()

        def start(config: Config) -> zygote_handles.NurseryHandle:
            if short.is_set():
                raise OSError(errno.EMFILE, "Too many open files")
            return zygote_handles.NurseryHandle(config)

        monkeypatch.setattr(zygote_table, "NurseryHandle", start)
        nursery = sandbox._keeper.rows._nursery
        assert nursery is not None
        os.kill(nursery.process.pid, signal.SIGKILL)
        nursery.process.wait()
        await_that(lambda: sandbox._keeper.rows.restarts() == 2)  # else a run could begin, and be lost with it
        assert sandbox.run(Job("print(1)")).stdout == b"1\n"
