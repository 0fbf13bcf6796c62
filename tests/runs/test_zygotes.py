"""Zygotes as the server keeps them: what it starts, what it refuses, and when it tries again."""

from __future__ import annotations

import errno
import os
import signal
import threading
from typing import Any, List

import pytest
from sandboxes import own_config

from pyexec.config import Config
from pyexec.errors import SandboxError
from pyexec.job import Job
from pyexec.runs import handles, pool
from pyexec.runs.pool import Pool
from pyexec.sandbox import Sandbox


def test_a_zygote_with_fewer_layers_than_the_one_before_is_refused() -> None:
    pool = Pool(Config.of(max_runs=1, uid_base=90000 + os.getpid() % 10000))
    try:
        pool.await_start()
        template = pool._template
        assert template is not None
        fewer = [dict(row, on=row["on"] and row["name"] != "landlock") for row in template.report["layers"]]

        class Poorer:
            report = dict(template.report, layers=fewer)
            ended = False

            def end(self) -> None:
                self.ended = True

        poorer = Poorer()
        with pytest.raises(SandboxError, match="landlock"):
            pool._check_floor(poorer)  # type: ignore[arg-type]
        assert poorer.ended and pool.layers_on > {"landlock"}
    finally:
        pool.close()


def test_a_zygote_that_hangs_at_its_start_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """It doesn't notice that nobody wants it any more, so the server doesn't wait for it to end by itself."""
    monkeypatch.setattr(handles, "_BOOT", "import time; time.sleep(30)  # %r")
    monkeypatch.setattr(handles, "_START_S", 0.2)
    monkeypatch.setattr(handles, "_END_S", 0.2)
    started: List[Any] = []
    start = handles.subprocess.Popen

    def noted(*arguments: Any, **named: Any) -> Any:
        started.append(start(*arguments, **named))
        return started[0]

    monkeypatch.setattr(handles.subprocess, "Popen", noted)
    with pytest.raises(SandboxError, match="did not start"):
        handles.Template(own_config())
    assert started[0].returncode == -signal.SIGKILL


def test_starts_that_fail_at_once_do_not_put_off_the_next_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second without descriptors is enough for many to fail within milliseconds."""
    with Sandbox(own_config()) as sandbox:
        short = threading.Event()
        short.set()
        threading.Timer(0.6, short.clear).start()

        def start(config: Config) -> handles.Template:
            if short.is_set():
                raise OSError(errno.EMFILE, "Too many open files")
            return handles.Template(config)

        monkeypatch.setattr(pool, "Template", start)
        current = sandbox._pool._template
        assert current is not None
        os.kill(current.process.pid, signal.SIGKILL)
        current.process.wait()
        assert sandbox.run(Job("print(1)")).stdout == b"1\n"
