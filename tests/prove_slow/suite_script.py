"""What runs a library's test suite, the same text inside pyexec and outside: a script that gets its order on stdin.

Standard output carries one JSON line when a test starts and one when it has ended, so that a suite that is killed
half-way still tells what it did and which test was running. pytest's own report goes to a file, whose end is repeated
on standard error when something failed.
"""

from __future__ import annotations

import json
import os
import sys
import tarfile
from typing import Any, Dict, List

import pytest

_PHASES = ("setup", "teardown")
_REASON = 160
_ASTRAY = 70


class Recorder:
    """A pytest plugin that writes what happened to each test, line by line."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._pid = os.getpid()
        self._reports: List[Any] = []

    def _write(self, *words: Any) -> None:
        self._stream.write(json.dumps(words) + "\n")
        self._stream.flush()

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self._write("end", report.nodeid, "error", _reason(report))
        elif report.skipped:
            self._write("end", report.nodeid, "skipped", _reason(report))

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._reports = []
        self._write("start", nodeid)

    def pytest_runtest_makereport(self) -> None:
        if os.getpid() != self._pid:
            os._exit(_ASTRAY)  # a test forked, and its child came back out of it: it must not run the other tests again

    def pytest_runtest_logreport(self, report: Any) -> None:
        self._reports.append(report)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        worst = ("passed", "")
        for report in self._reports:
            word = _outcome(report)
            if word != "passed" and worst[0] not in ("failed", "error"):
                worst = (word, _reason(report))
        self._write("end", nodeid, *worst)

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        self._write("finished", int(exitstatus))


def _outcome(report: Any) -> str:
    if hasattr(report, "wasxfail"):
        return "xfailed" if report.skipped else "xpassed"
    return "error" if report.failed and report.when in _PHASES else str(report.outcome)


def _reason(report: Any) -> str:
    """Return the first line of why a test failed or was skipped."""
    why = report.longrepr
    if isinstance(why, tuple):  # of a skip: file, line, words
        text = str(why[-1])
    else:
        text = str(getattr(getattr(why, "reprcrash", None), "message", why) or "")
    lines = text.strip().splitlines() or [""]
    return lines[0][:_REASON]


def _unpack(archive: str, leave_out: List[str]) -> None:
    """Unpack the archive's one folder here, except for the parts to leave out, and change into it."""
    with tarfile.open(archive) as packed:
        members = [each for each in packed.getmembers() if each.isfile() or each.isdir()]
        root = members[0].name.split("/")[0]
        skipped = tuple("%s/%s/" % (root, name) for name in leave_out)
        for member in members:
            if not member.name.startswith(skipped):
                packed.extract(member, set_attrs=False)
    os.remove(archive)
    os.chdir(root)


def main() -> int:
    """Run the requested suite and return pytest's exit status."""
    order: Dict[str, Any] = json.load(sys.stdin)
    here = os.getcwd()
    if order["archive"]:
        _unpack(order["archive"], order["leave_out"])
    os.environ.update({name: text.replace("{here}", os.getcwd()) for name, text in order["environment"].items()})
    records = os.fdopen(os.dup(1), "w")
    log = os.open(os.path.join(here, "log.txt"), os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(log, 1)
    sys.path.insert(0, os.getcwd())
    exec(order["prelude"], {})
    status = int(pytest.main(order["arguments"], plugins=[Recorder(records)]))
    sys.stdout.flush()
    if status:
        size = os.fstat(log).st_size
        sys.stderr.write(os.pread(log, 20000, max(0, size - 20000)).decode("utf-8", "replace"))
    return status


if __name__ == "__main__":
    sys.exit(main())
