"""A server as a user starts it, a `python -m pyexec` process, and what tests ask of one that they have broken."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from typing import Any, Dict, List, Optional, Sequence, Tuple

from support import ROOT

from pyexec.client import Client, ServiceError

ADMIN_KEY = "test-key-öffnet"


class RunningServer:
    """A `python -m pyexec` process."""

    started = 0

    def __init__(
        self, settings: Dict[str, Any], wrapper: Sequence[str] = (), environment: Optional[Dict[str, str]] = None
    ) -> None:
        flags: List[str] = []
        RunningServer.started += 1
        # Servers that run as root on one machine at once must not share uids: the kernel counts processes by uid.
        uid_base = 100000 + 20000 * (os.getpid() % 1000) + 40 * RunningServer.started
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
        # Tests want to see every refusal.
        self.client = Client(self.url, max_wait_s=0)
        self.admin = Client(self.url, ADMIN_KEY, max_wait_s=0)

    @property
    def log(self) -> str:
        """All that the server has written so far; while it runs, the whole lines of it."""
        if self._log.closed:
            return self._last_words
        ended = self.process.poll() is not None
        with open(self._log.name, encoding="utf-8") as file:
            text = file.read()
        # A line that is just being written may be read in part, where the file goes on to another page.
        return text if ended else text[: text.rfind("\n") + 1]

    def _await_port(self) -> int:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            found = re.search(r"serving on (?:http://[^ ]*:(\d+)|unix:[^\s\"]+)[\n\"]", self.log)
            if found:
                return int(found.group(1) or 0)  # a Unix socket has none
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        self.process.kill()
        self.stop()
        raise AssertionError("the server did not come up, status %d:\n%s" % (self.process.returncode, self.log))

    def get(self, path: str) -> Tuple[str, str]:
        """Return the media type of what is at a path, and its text."""
        with urllib.request.urlopen(self.url + path) as answer:
            return answer.headers["Content-Type"], answer.read().decode("utf-8")

    def stop(self) -> int:
        """End the server and return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(60)
        self._last_words = self.log
        self._log.close()
        return status


def works(running: RunningServer) -> bool:
    """Return whether a small script is run."""
    try:
        return running.client.execute("print(1)").stdout == "1\n"
    except (OSError, ServiceError):
        time.sleep(0.05)
        return False


def restarts(running: RunningServer) -> int:
    """Return how often zygotes were restarted, −1 while /health is 503, as it is in between."""
    try:
        return int(running.client.health()["template_restarts"])
    except ServiceError as error:
        assert error.status == 503
        return -1


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
