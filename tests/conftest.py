"""Servers for the tests: each a process of its own, started as a user would, on a free port of the loopback."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence

import figures
import pytest
from hypothesis import settings
from laboratory import Laboratory, opened

from pyexec.client import Client

ADMIN_KEY = "test-key-öffnet"
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


# A shell that starts us in the background has it ignored, which every process below would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)


class RunningServer:
    """A `python -m pyexec` process."""

    started = 0

    def __init__(
        self, settings: Dict[str, Any], wrapper: Sequence[str] = (), environment: Optional[Dict[str, str]] = None
    ) -> None:
        flags: List[str] = []
        RunningServer.started += 1
        # Servers that run as root on one machine at once must not share uids: the kernel counts processes by uid.
        uid_base = 100000 + 10000 * (os.getpid() % 1000) + 40 * RunningServer.started
        # Tests that write requests by hand call it x.
        defaults = {"port": 0, "uid_base": uid_base, "allowed_hosts": "x example.org"}
        for name, value in dict(defaults, **settings).items():
            flags += ["--" + name.replace("_", "-"), str(value)]
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYEXEC_", "PORT"))}
        clean.update(
            {"PYTHON_EXE_KEY": ADMIN_KEY, "PYTHONPATH": ROOT, "PYTHONWARNINGS": "error"}, **(environment or {})
        )
        self._last_words = ""
        self._log = tempfile.NamedTemporaryFile("w+", suffix=".log")
        command = list(wrapper) + [sys.executable, "-m", "pyexec"] + flags
        self.process = subprocess.Popen(command, stderr=self._log, stdin=subprocess.DEVNULL, env=clean, cwd="/")
        self.port = self._await_port()
        self.url = "http://127.0.0.1:%d" % self.port
        self.client = Client(self.url)
        self.admin = Client(self.url, ADMIN_KEY)

    @property
    def log(self) -> str:
        """All that the server has written so far."""
        if self._log.closed:
            return self._last_words
        with open(self._log.name, encoding="utf-8") as file:
            return file.read()

    def _await_port(self) -> int:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            found = re.search(r"serving on http://[^ ]*:(\d+)", self.log)
            if found:
                return int(found.group(1))
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        self.process.kill()
        self.stop()
        raise AssertionError("the server did not come up, status %d:\n%s" % (self.process.returncode, self.log))

    def stop(self) -> int:
        """End the server and return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(60)
        self._last_words = self.log
        self._log.close()
        return status


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


@pytest.fixture(scope="module", params=["mounts", "no mounts"])
def either_host(request: pytest.FixtureRequest) -> Iterator[RunningServer]:
    """A server with what this host has, and one that can't mount; each leaves nothing on disk."""
    with tempfile.TemporaryDirectory(prefix="work-dir-") as work_dir:
        os.chmod(work_dir, 0o755)
        refuse = [sys.executable, os.path.join(ROOT, "tests", "tools", "refuse.py"), "docker", "--"]
        limits = {"rate_per_minute": 100000, "rate_per_day": 100000, "max_runs": 2}
        running = RunningServer(dict(limits, work_dir=work_dir), refuse if request.param == "no mounts" else [])
        yield running
        assert running.stop() == 0, running.log
        assert os.listdir(work_dir) == []


def in_threads(count: int, work: Callable[[int], Any]) -> List[Any]:
    """Call `work` with 0 to count−1 at once, each in a thread, and return what they returned or raised, in order."""
    results: List[Any] = [None] * count

    def one(place: int) -> None:
        try:
            results[place] = work(place)
        except Exception as error:
            results[place] = error

    threads = [threading.Thread(target=one, args=(place,)) for place in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def left_by_runs(work_dir: str) -> List[str]:
    """Return what lies in the directories of runs below a --work-dir; those of children that wait are empty."""
    found: List[str] = []
    for base in os.listdir(work_dir):
        for name in os.listdir(os.path.join(work_dir, base)):
            path = os.path.join(work_dir, base, name)
            if os.path.isdir(path):
                try:
                    for part in os.listdir(path):  # work, tmp, home
                        found += os.listdir(os.path.join(path, part))
                except PermissionError:  # closed by the script, and not yet removed
                    found.append(name)
                except FileNotFoundError:
                    continue
    return found


settings.register_profile("pyexec", database=None, deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("pyexec")


def pytest_runtest_logreport(report: Any) -> None:
    """Count tests for the table of figures."""
    figures.note(report)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say what this host could not show: a kernel without a call proves nothing about who stops it."""
    lines = figures.all_not_shown()
    if lines:
        terminalreporter.section("not shown here")
        for line in lines:
            terminalreporter.line(line)


def pytest_sessionfinish() -> None:
    """Leave this session's figures where FIGURES says."""
    figures.write()
