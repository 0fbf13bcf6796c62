"""The two places where a suite runs: a confined run on our own server, and a plain process beside it."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from typing import Any, Dict, NamedTuple, Optional

from pyexec.client import Client, ServiceError
from pyexec.runs.environment import zygote_environment
from tests.prove_slow.outcomes import SuiteError

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WALL_S = 3600
ARCHIVE = "suite.tar.gz"
_MIB = 1024 * 1024
_START_S = 120
_DRAIN_S = 10
_ORDINARY_UID = 65534
# In the new process, since nothing may run between fork and exec of one that has threads; and without another exec,
# since an interpreter that root can start may find its libraries where other users can't read them.
_AS_ORDINARY_USER = """
import os, runpy, sys
os.umask(0o022)
uid = int(sys.argv.pop())
if uid:
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
sys.argv[0], sys.path[0] = "script.py", os.getcwd()
runpy.run_path("script.py", run_name="__main__")
"""
# What a test suite needs beyond what a script gets. No layer is touched.
_SETTINGS = {
    "port": 0,
    "wall_s": WALL_S,
    "memory_bytes": 8192 * _MIB,
    "processes": 1000,
    "threads": 500,
    "output_bytes": 128 * _MIB,
    "workdir_bytes": 8192 * _MIB,
    "workdir_files": 50000,
    "code_chars": 100000,
    "attachment_bytes": 256 * _MIB,
    "body_bytes": 512 * _MIB,
    "bodies_bytes": 1024 * _MIB,
    "body_timeout_s": 600,
    "write_timeout_s": 600,
}
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "suite_script.py"), encoding="utf-8") as _file:
    SCRIPT = _file.read()


class Ran(NamedTuple):
    """What the script left: its records, what it said on standard error, how it ended, how long it took."""

    records: str
    stderr: str
    ending: str
    seconds: float


class Outside:
    """Plain processes: same interpreter and environment as inside, an empty directory, not root."""

    def __init__(self) -> None:
        """Start with nothing running."""
        self._process: Optional[subprocess.Popen[bytes]] = None

    def stop(self) -> None:
        """End any process that is still running."""
        if self._process is not None:
            self._process.kill()

    def run(self, order: Dict[str, Any], archive: Optional[str]) -> Ran:
        """Run the script."""
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="prove-slow-") as directory:
            paths = [directory, os.path.join(directory, "script.py")]
            with open(paths[1], "w", encoding="utf-8") as file:
                file.write(SCRIPT)
            if archive is not None:
                paths.append(shutil.copyfile(archive, os.path.join(directory, ARCHIVE)))
            uid = _ORDINARY_UID if os.geteuid() == 0 else 0  # a run is never root either
            for path in paths if uid else ():
                os.chown(path, uid, uid)
            self._process = subprocess.Popen(
                [sys.executable, "-c", _AS_ORDINARY_USER, str(uid)],
                cwd=directory,
                env=dict(zygote_environment(), HOME=directory, TMPDIR=directory),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
            try:
                out, err = self._process.communicate(json.dumps(order).encode(), timeout=WALL_S)
                ending = "exit status %d" % self._process.returncode
            except subprocess.TimeoutExpired:
                self._process.kill()
                out, err = self._process.communicate()
                ending = "killed after %d s" % WALL_S
        seconds = time.monotonic() - started
        return Ran(out.decode("utf-8", "replace"), err.decode("utf-8", "replace"), ending, seconds)


class Inside:
    """A server for admin runs that are allowed to be large; a context manager that ends it."""

    def __init__(self) -> None:
        """Start it. Raises SuiteError if it doesn't come up."""
        key = secrets.token_urlsafe(32)
        # Servers that run as root on one machine at once must not share uids.
        settings = dict(_SETTINGS, uid_base=20_000_000 + 100 * (os.getpid() % 100_000))
        flags = [part for name, value in settings.items() for part in ("--" + name.replace("_", "-"), str(value))]
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYEXEC_", "PORT"))}
        environment.update(PYTHON_EXE_KEY=key, PYTHONPATH=ROOT)
        self._log = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pyexec"] + flags,
            stdin=subprocess.DEVNULL,
            stderr=self._log,
            env=environment,
            cwd="/",
        )
        try:
            self._client = Client(self._await_address(), key, WALL_S + 600)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Inside:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the server, and a run that is still under way when this proof is broken off."""
        self._process.terminate()
        try:
            self._process.wait(_DRAIN_S)
        except subprocess.TimeoutExpired:
            self._process.terminate()  # the second signal ends a server that waits for its runs
            self._process.wait()
        self._log.close()

    def _await_address(self) -> str:
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline and self._process.poll() is None:
            self._log.seek(0)
            found = re.search(r"serving on (http://\S+:\d+)", self._log.read())
            if found:
                return found.group(1)
            time.sleep(0.1)
        self._log.seek(0)
        raise SuiteError("the server did not come up:\n%s" % self._log.read()[-2000:])

    def layers(self) -> str:
        """Return the names of the layers that are on."""
        return ", ".join(self._client.health()["layers"])

    def run(self, order: Dict[str, Any], archive: Optional[str]) -> Ran:
        """Run the script with the admin key."""
        started = time.monotonic()
        attachments = {}
        if archive is not None:
            with open(archive, "rb") as file:
                attachments[ARCHIVE] = file.read()
        try:
            document = self._client.execute(SCRIPT, json.dumps(order), attachments).document
            ending = "exit status %d" % document["execution_details"]["exit_code"]
        except ServiceError as error:
            document, ending = error.document, str(error)
        details = document.get("execution_details") or {}
        if details.get("stdout_truncated"):
            ending += ", output cut off"
        return Ran(details.get("stdout", ""), details.get("stderr", ""), ending, time.monotonic() - started)
