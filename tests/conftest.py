"""Servers for the tests: each a process of its own, started as a user would, on a free port of the loopback."""

from __future__ import annotations

import os
import signal
import tempfile
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence

import figures
import pytest
from hypothesis import settings
from laboratory import Laboratory, opened
from servers import RunningServer
from wrappers import EITHER_HOST

# A shell that starts us in the background has it ignored, which every process below would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def server() -> Iterator[RunningServer]:
    """One server with limits that no test reaches by accident."""
    running = RunningServer({"rate_per_minute": 1000000, "rate_per_day": 1000000, "wall_s": 5})
    yield running
    assert running.stop() == 0, running.log


@pytest.fixture
def start_server() -> Iterator[Callable[..., RunningServer]]:
    """Start further servers with settings of the test's own; they end with the test."""
    started: List[RunningServer] = []

    def start(
        wrapper: Sequence[str] = (), environment: Optional[Dict[str, str]] = None, **settings: Any
    ) -> RunningServer:
        started.append(RunningServer(settings, wrapper, environment))
        return started[-1]

    yield start
    for running in started:
        running.stop()


@pytest.fixture(scope="session")
def laboratory() -> Iterator[Laboratory]:
    """Targets on the host outside the sandbox, and the labs that attack them."""
    with opened() as running:
        yield running


@pytest.fixture(scope="module", params=sorted(EITHER_HOST))
def either_host(request: pytest.FixtureRequest) -> Iterator[RunningServer]:
    """A server with what this host has, and one that can't mount; each leaves nothing on disk."""
    with tempfile.TemporaryDirectory(prefix="work-dir-") as work_dir:
        os.chmod(work_dir, 0o755)
        limits = {"rate_per_minute": 100000, "rate_per_day": 100000, "max_runs": 2}
        running = RunningServer(dict(limits, work_dir=work_dir), EITHER_HOST[request.param])
        yield running
        assert running.stop() == 0, running.log
        assert os.listdir(work_dir) == []


@pytest.fixture(params=sorted(EITHER_HOST))
def running(request: pytest.FixtureRequest, start_server: Callable[..., RunningServer]) -> RunningServer:
    """A server of the test's own, which may break it: one with what this host has, and one that can't mount."""
    return start_server(EITHER_HOST[request.param], max_runs=2, rate_per_minute=1000, rate_per_day=1000)


_of_workers: List[str] = []

settings.register_profile("pyexec", database=None, deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("pyexec")


def pytest_runtest_logreport(report: Any) -> None:
    """Count tests for the table of figures."""
    figures.note(report)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over from a worker of pytest-xdist what only it knows."""
    _of_workers.extend(getattr(node, "workeroutput", {}).get("not shown", ()))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say what this host could not show: a kernel without a call proves nothing about who stops it."""
    lines = figures.all_not_shown() + sorted(_of_workers)
    if lines:
        terminalreporter.section("not shown here")
        for line in lines:
            terminalreporter.line(line)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Leave this session's figures where FIGURES says: each worker its own, if there are workers."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["not shown"] = figures.all_not_shown()
    if not session.config.pluginmanager.hasplugin("dsession"):
        figures.write()
