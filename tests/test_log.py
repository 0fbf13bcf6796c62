"""The log: an entry is one write of UTF-8, and a log that can't be written costs nothing."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from typing import Any

import pytest
from support import ROOT

from pyexec import log

SAY = "import sys; from pyexec import log; sys.stderr = %s; log.say('\\u20ac\\ud800\\nb'); print('goes on')"


@pytest.mark.parametrize("stream", ["sys.stderr", "log.Log(sys.stderr)"])
def test_an_entry_is_one_write_in_utf_8_whatever_the_locale(stream: str) -> None:
    environment = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONPATH": ROOT}
    watched = "import os; write = os.write; os.write = lambda *given: print(given[0]) or write(*given)\n" + SAY % stream
    done = subprocess.run([sys.executable, "-c", watched], env=environment, capture_output=True)
    assert done.stderr == b"pyexec: \xe2\x82\xac\\ud800\n  b\n" and done.stdout == b"2\ngoes on\n"


@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&-"])
@pytest.mark.parametrize("stream", ["sys.stderr", "None", "log.Log(sys.stderr)", "open('/dev/full', 'w', 1)"])
def test_a_log_that_cannot_be_written_costs_nothing(redirection: str, stream: str) -> None:
    command = 'exec "$0" -c "$1" ' + redirection
    # What Python itself does at its end about a stream that it can't flush is no matter of the log's.
    program = SAY % stream + "; sys.stdout.flush(); import os; os._exit(0)"
    done = subprocess.run(["sh", "-c", command, sys.executable, program], cwd=ROOT, stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (0, b"goes on\n")


def test_a_forged_entry_does_not_begin_a_line(capsys: Any) -> None:
    log.say("fault: a\r\npyexec: serving\x85pyexec: serving\u2028pyexec: serving")
    first, *further = capsys.readouterr().err.splitlines()
    assert first == "pyexec: fault: a" and further == ["  pyexec: serving"] * 3


def test_a_stream_of_an_embedder_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not descriptor 2, which may be anything in a program that has put another stream there."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(os, "write", lambda *_: pytest.fail("wrote to a descriptor"))
    log.say("a")
    assert stream.getvalue() == "pyexec: a\n"
    stream.close()
    log.say("b")


def test_a_file_of_an_embedder_gets_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    with open(tmp_path / "log", "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        log.say("a")
    assert (tmp_path / "log").read_text() == "pyexec: a\n"
