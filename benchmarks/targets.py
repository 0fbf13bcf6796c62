"""Starts the servers that are measured, each a process of its own on a free port of the loopback."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from typing import IO, Sequence

from benchmarks import rivals

_START_S = 60.0
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
# These two change what numpy costs, and only together: what is measured has neither.
_UNWANTED = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
LABELS = {
    "pyexec": "pyexec",
    "floor": "in-process floor",
    "fresh": "fresh interpreter",
    "bubblewrap": "bubblewrap",
}


def environment(root: str = ROOT) -> dict[str, str]:
    """Return the environment that every server gets: one BLAS thread as pyexec's runs have it, nothing of ours."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYEXEC_", "PYTHON", "PORT")) and name not in _UNWANTED
    }
    kept.update({name: "1" for name in _THREADS}, PYTHONPATH=root)
    return kept


class Target:
    """A running server."""

    started = 0

    def __init__(self, name: str, process: subprocess.Popen[bytes], port: int, log: IO[str]) -> None:
        """Made by `start_pyexec` and `start_rival`."""
        self.name, self.process, self.port = name, process, port
        self._log = log

    @property
    def label(self) -> str:
        """What it is called in tables."""
        return LABELS.get(self.name, self.name)

    def stop(self) -> None:
        """Stop it and wait for it to exit."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)
        self._log.close()


def start_pyexec(
    name: str = "pyexec", root: str = ROOT, max_runs: int = 5, key: str | None = None, more: Sequence[str] = ()
) -> Target:
    """Start a checkout's pyexec, with `more` flags, and return when it serves. Raises RuntimeError if it doesn't."""
    Target.started += 1
    flags = ["--port", "0", "--rate-per-minute", "1000000", "--rate-per-day", "1000000", "--max-runs", str(max_runs)]
    flags += more
    # As root each server needs uids of its own: the kernel counts processes by uid.
    flags += ["--uid-base", str(20000000 + 1000 * (os.getpid() % 10000) + 1000 * Target.started)]
    announced = r"serving on http://[^ ]*:(\d+)"
    return _start(name, ["-m", "pyexec"] + flags, announced, os.path.abspath(root), key)


def start_rival(kind: str) -> Target:
    """Start one of the servers that pyexec is compared with. Raises RuntimeError if that fails."""
    return _start(kind, ["-m", "benchmarks.rivals", kind], r"serving on (\d+)", ROOT)


def _start(name: str, flags: list[str], announced: str, root: str, key: str | None = None) -> Target:
    # A file, since a pipe that nobody reads would fill up and hold the server.
    log = tempfile.NamedTemporaryFile("w+", suffix=".log", encoding="utf-8")
    command = [sys.executable] + flags
    clean = dict(environment(root), **({"PYTHON_EXE_KEY": key} if key else {}))
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log, env=clean, cwd="/")
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        found = re.search(announced, _text(log.name))
        if found:
            return Target(name, process, int(found.group(1)), log)
        time.sleep(0.002)
    process.kill()
    process.wait()
    raise RuntimeError(f"{name} did not start:\n{_text(log.name)}")


def _text(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def missing() -> dict[str, str]:
    """Return the rivals that this machine can't have, each with the reason."""
    reason = rivals.bubblewrap_refusal()
    return {"bubblewrap": reason} if reason else {}


def version() -> str:
    """Return the versions of what the jobs use."""
    code = "import importlib.metadata as m; print(*(n + ' ' + m.version(n) for n in %r), sep=', ')"
    names = ("numpy", "pillow", "reportlab", "fpdf2")
    done = subprocess.run(
        [sys.executable, "-c", code % (names,)], stdout=subprocess.PIPE, env=environment(), check=True
    )
    return done.stdout.decode().strip()
