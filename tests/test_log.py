"""The log: an entry is one write of UTF-8, and a log that can't be written costs nothing."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from typing import Any, Callable

import pytest
from processes import await_that
from servers import RunningServer
from support import ROOT, ask, connect, execute, log_entries, log_lines, request

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


# -- for machines ------------------------------------------------------------------------------------------------------


@pytest.fixture
def as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """JSON for the duration of a test."""
    for module, name in ((sys, "excepthook"), (sys, "unraisablehook"), (log.threading, "excepthook")):
        monkeypatch.setattr(module, name, getattr(module, name))
    monkeypatch.setattr(log, "_as_json", False)
    monkeypatch.setattr(log._request, "id", "", raising=False)
    log.serve_machines()


def test_an_entry_is_one_object_on_one_line(as_json: None, capsys: Any) -> None:
    log.say("a\r\npyexec: b\x85\u2028\ud800é", log.WARNING)
    log.begin_request("7b1e")
    log.request({"path": "/\n", "status": 200})
    text = capsys.readouterr().err
    assert text.isascii() and text.count("\n") == 2
    first, second = log_entries(text)
    assert (first["level"], first["message"]) == ("warning", "a\r\npyexec: b\x85\u2028\ud800é")
    assert "request_id" not in first
    assert list(second) == ["time", "level", "request_id", "path", "status"]
    assert (second["level"], second["request_id"], second["path"]) == ("info", "7b1e", "/\n")


def test_what_nobody_catches_is_an_entry(as_json: None, capsys: Any) -> None:
    def fail() -> None:
        raise KeyError("x")

    thread = log.threading.Thread(target=fail)
    thread.start()
    thread.join()
    sys.excepthook(ValueError, ValueError("y"), None)
    for entry, what in zip(log_entries(capsys.readouterr().err), ("KeyError: 'x'", "ValueError: y")):
        assert entry["level"] == "error" and entry["message"].endswith(what)


def test_as_text_nothing_of_a_request_steers_a_terminal(capsys: Any) -> None:
    log.request({"caller": "192.0.2.1", "path": "/\x1b[2J\x9bé", "status": 404, "ms": 0.5})
    text = capsys.readouterr().err
    assert re.fullmatch(r"[-0-9T:.]+Z 192\.0\.2\.1 /\\u001b\[2J\\u009b\\u00e9 404 0\.5\n", text), text


def test_a_server_writes_json_with_level_and_request_id(start_server: Callable[..., RunningServer]) -> None:
    running = start_server()
    ask(running.port, execute({"code": "1"}))
    ask(running.port, execute({"code": "1"}, ("X-Request-ID", "from-the-proxy")))
    ask(running.port, b"x\r\n\r\n")
    await_that(lambda: len(log_lines(running.log)) == 3)
    ids = [entry["request_id"] for entry in log_lines(running.log)]
    assert ids[1] == "from-the-proxy"
    assert all(re.fullmatch("[0-9a-f]{16}", found) for found in (ids[0], ids[2])) and ids[0] != ids[2]
    for line in running.log.splitlines():
        assert json.loads(line)["level"] in ("info", "warning")


def test_health_checks_are_not_logged(start_server: Callable[..., RunningServer]) -> None:
    running = start_server()
    for method in ("GET", "HEAD"):
        assert b"200 OK" in _told(running, request(method, "/health"))
    ask(running.port, request("GET", "/about"))
    await_that(lambda: log_lines(running.log))
    assert [entry["path"] for entry in log_lines(running.log)] == ["/about"]
    await_that(lambda: 'path="/health",type="ok",status="200"} 2' in running.get("/metrics")[1])  # yet counted


def _told(running: RunningServer, raw: bytes) -> bytes:
    with connect(running.port) as sock:
        sock.sendall(raw)
        return sock.recv(1 << 16)


def test_at_a_terminal_it_is_text() -> None:
    ours, theirs = os.openpty()
    try:
        command = [sys.executable, "-m", "pyexec", "--port", "0"]
        with subprocess.Popen(command, cwd=ROOT, stderr=theirs, stdin=subprocess.DEVNULL) as process:
            os.close(theirs)
            text = b""
            while b"serving on" not in text:
                text += os.read(ours, 4096)
            process.terminate()
            while b"stopped" not in text:
                text += os.read(ours, 4096)
            assert process.wait(60) == 0
    finally:
        os.close(ours)
    assert all(line.startswith(b"pyexec: ") for line in text.splitlines()), text
