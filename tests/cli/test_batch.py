"""`pyexec batch`: one line an id, whatever dies; it goes on where it stopped, on this machine or by a service."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from typing import Any, Dict, List, Optional, Sequence

import pytest
from processes import await_that, descendants
from servers import ADMIN_KEY
from support import ROOT

from pyexec.cli import batch_runners
from pyexec.cli.batch_course import Batch
from pyexec.cli.batch_files import Jobs, Results
from pyexec.cli.batch_runners import CannotGoOn, RunnerDied
from pyexec.config import Config
from pyexec.errors import SandboxError, ValidationError

ENVIRONMENT = {"PYTHONPATH": ROOT, "PATH": os.environ["PATH"], "PYTHONWARNINGS": "error"}


def _flags() -> List[str]:
    return ["--uid-base", str(50000000 + 10 * (os.getpid() % 1000000))]


def _command(jobs: Any, out: Any, *flags: str) -> List[str]:
    return [sys.executable, "-m", "pyexec", "batch", str(jobs), "--out", str(out), *_flags(), *flags]


def _batch(jobs: Any, out: Any, *flags: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = dict(ENVIRONMENT, **variables)
    return subprocess.run(_command(jobs, out, *flags), capture_output=True, text=True, env=environment, timeout=300)


def _write(path: Any, rows: Sequence[Any]) -> Any:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _rows(path: Any) -> Dict[str, Any]:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert len({row["id"] for row in rows}) == len(rows)  # one line an id
    return {row["id"]: row for row in rows}


# -- on this machine ----------------------------------------------------------------------------------------------------


def test_each_job_is_answered_as_a_request_would_be(tmp_path) -> None:
    jobs = [
        {"id": "ok", "code": "print(input())", "stdin_data": "hello"},
        {"id": "raises", "code": "1/0"},
        {"id": "shell", "code": "!ls"},
        {"id": "import", "code": "import os"},
        {"id": "time", "code": "while True: pass"},
        {"id": "wrong", "cod": "1"},
        {"id": "key", "code": "1", "api_key": "x"},
        {"id": "long", "code": "#" * 99990 + "\nprint(1)"},
        {"id": "too long", "code": "#" * 100001},
        {"id": "ü\n", "code": "open('a', 'w').write('x')", "return_files": ["*"]},
    ]
    out = tmp_path / "out"
    done = _batch(_write(tmp_path / "in", jobs), out, "--wall-s", "1")
    assert done.returncode == 0, done.stderr
    rows = _rows(out)
    assert set(rows) == {job["id"] for job in jobs}
    assert rows["ok"]["execution_details"]["stdout"] == "hello\n" and rows["ok"]["status"] == "success"
    assert "ZeroDivisionError" in rows["raises"]["execution_details"]["stderr"]
    assert "a plain Python script, without shell commands" in rows["shell"]["execution_details"]["hint"]
    assert "hint" not in rows["ok"]["execution_details"]
    assert rows["long"]["execution_details"]["stdout"] == "1\n"
    assert rows["ü\n"]["execution_details"]["output_files"] == {"a": {"content_base64": "eA==", "size_bytes": 1}}
    kinds = {id: row["error_details"]["type"] for id, row in rows.items() if row["status"] == "error"}
    expected = {"import": "ForbiddenImportError", "time": "TimeoutError"}
    assert kinds == dict(
        expected, **{"wrong": "ValidationError", "key": "ValidationError", "too long": "ValidationError"}
    )
    assert "10 scripts in" in done.stderr and "3 ValidationError" in done.stderr and "3 succeeded" in done.stderr


def test_with_admin_any_import_is_allowed(tmp_path) -> None:
    jobs = _write(tmp_path / "in", [{"id": "1", "code": "import os; print(os.sep)"}])
    assert _batch(jobs, tmp_path / "out", "--admin").returncode == 0
    assert _rows(tmp_path / "out")["1"]["execution_details"]["stdout"] == "/\n"


def test_what_has_a_line_is_not_done_again_and_a_line_cut_off_is(tmp_path) -> None:
    jobs = _write(tmp_path / "in", [{"id": str(n), "code": "print(%d)" % n} for n in range(5)])
    out = tmp_path / "out"
    out.write_text('{"id": "1", "kept": true}\n{"id": "9", "of": "another file"}\n{"id": "2", "cut of')
    done = _batch(jobs, out)
    assert done.returncode == 0 and "there already, and not done again: 2 results" in done.stderr
    rows = _rows(out)
    assert rows["1"] == {"id": "1", "kept": True} and set(rows) == set("012349")
    assert rows["2"]["execution_details"]["stdout"] == "2\n"
    before = out.read_bytes()
    assert _batch(jobs, out).returncode == 0 and out.read_bytes() == before


def test_a_batch_that_is_killed_goes_on_where_it_stopped(tmp_path) -> None:
    jobs = _write(
        tmp_path / "in", [{"id": str(n), "code": "import time\ntime.sleep(0.05)\nprint(%d)" % n} for n in range(200)]
    )
    out = tmp_path / "out"
    process = subprocess.Popen(_command(jobs, out), env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    await_that(lambda: out.exists() and out.read_bytes().count(b"\n") > 20)
    process.kill()
    process.wait()
    kept = out.read_bytes()
    assert kept.count(b"\n") < 200
    assert _batch(jobs, out).returncode == 0
    assert out.read_bytes().startswith(kept[: kept.rindex(b"\n")])
    rows = _rows(out)
    assert {id: row["execution_details"]["stdout"] for id, row in rows.items()} == {
        str(n): "%d\n" % n for n in range(200)
    }


def test_when_the_zygotes_die_every_job_is_answered_all_the_same(tmp_path) -> None:
    """They die with every run that is under way; nobody's answer is lost, none is wrong, and none is blamed."""
    jobs = _write(tmp_path / "in", [{"id": str(n), "code": "sum(range(400000))\nprint(%d)" % n} for n in range(150)])
    out = tmp_path / "out"
    process = subprocess.Popen(_command(jobs, out), env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
    for count in (10, 60):
        await_that(lambda least=count: out.exists() and out.read_bytes().count(b"\n") > least)
        for pid in descendants(process.pid):
            if _parent(pid) == process.pid:
                os.kill(pid, signal.SIGKILL)
    said = process.communicate(timeout=300)[1]
    assert process.returncode == 0, said
    rows = _rows(out)
    assert {id: row["execution_details"]["stdout"] for id, row in rows.items()} == {
        str(n): "%d\n" % n for n in range(150)
    }


def _parent(pid: int) -> Optional[int]:
    try:
        with open("/proc/%d/stat" % pid, "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except OSError:
        return None


def test_a_start_that_fails_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tries: List[Any] = []

    def start(config: Any) -> Any:
        tries.append(config)
        if len(tries) < failures:
            raise SandboxError("a child ended before it was ready")
        return contextlib.nullcontext()

    monkeypatch.setattr(batch_runners, "Sandbox", start)
    monkeypatch.setattr(batch_runners, "_STEP_S", 0)
    for failures in (1, 3):
        tries.clear()
        with batch_runners.local(Config.of(max_runs=3), admin=False) as runner:
            assert runner.at_once == 3
        assert len(tries) == failures and {config.max_runs for config in tries} == {3}
    tries.clear()
    failures = 4
    with pytest.raises(SandboxError), batch_runners.local(Config.of(), admin=False):
        raise AssertionError


def test_an_interrupted_batch_finishes_what_is_under_way(tmp_path) -> None:
    code = "import time; time.sleep(0.2); print(1)"
    jobs = _write(tmp_path / "in", [{"id": str(n), "code": code} for n in range(200)])
    out = tmp_path / "out"
    process = subprocess.Popen(_command(jobs, out), env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
    await_that(lambda: out.exists() and out.read_bytes().count(b"\n") > 3)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and "stopped: interrupted; the same command goes on from here" in said
    assert all(row["execution_details"]["stdout"] == "1\n" for row in _rows(out).values()) and "Traceback" not in said


def test_a_terminal_shows_how_far_it_is(tmp_path) -> None:
    code = "import time; time.sleep(0.3)"
    jobs = _write(tmp_path / "in", [{"id": str(n), "code": code} for n in range(12)])
    ours, theirs = pty.openpty()
    process = subprocess.Popen(_command(jobs, tmp_path / "out", "--max-runs", "3"), env=ENVIRONMENT, stderr=theirs)
    os.close(theirs)
    shown = b""
    while True:
        try:
            shown += os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
    os.close(ours)
    assert process.wait() == 0
    lines = [line.strip() for line in shown.decode().split("\r")]
    steps = [line for line in lines if "/s, " in line]
    assert steps and all(" of 12 done, " in line and line.endswith(" left") for line in steps), lines
    assert "12 scripts in" in lines[-2] + lines[-1]


# -- by a service -------------------------------------------------------------------------------------------------------


def test_a_service_does_the_same(server, tmp_path) -> None:
    rows = [{"id": str(n), "code": "print(%d)" % n} for n in range(30)]
    rows += [{"id": "import", "code": "import os"}, {"id": "wrong", "code": 5}, {"id": "long", "code": "#" * 2001}]
    jobs, out = _write(tmp_path / "in", rows), tmp_path / "out"
    done = _batch(jobs, out, "--url", server.url, "--max-runs", "3")
    assert done.returncode == 0, done.stderr
    found = _rows(out)
    assert all(found[str(n)]["execution_details"]["stdout"] == "%d\n" % n for n in range(30))
    kinds = Counter(row["error_details"]["type"] for row in found.values() if row["status"] == "error")
    assert kinds == {"ForbiddenImportError": 1, "ValidationError": 2} and "user_info" in found["0"]
    one = _write(tmp_path / "one", [{"id": "a", "code": "import os; print(os.sep)"}])
    assert _batch(one, out, "--url", server.url, "--admin", PYTHON_EXE_KEY=ADMIN_KEY).returncode == 0
    assert _rows(out)["a"]["execution_details"]["stdout"] == "/\n"


def test_when_a_service_refuses_everybody_the_batch_stops_and_says_why(start_server, tmp_path) -> None:
    running = start_server(rate_per_day=3, rate_per_minute=100)
    jobs, out = _write(tmp_path / "in", [{"id": str(n), "code": "1"} for n in range(5)]), tmp_path / "out"
    done = _batch(jobs, out, "--url", running.url)
    assert done.returncode == 1 and "Daily quota of 3 exceeded" in done.stderr and "try again in " in done.stderr
    assert "the same command goes on from here" in done.stderr and len(_rows(out)) == 3
    done = _batch(jobs, out, "--url", running.url, "--admin", PYTHON_EXE_KEY="wrong")
    assert done.returncode == 1 and "AuthenticationError" in done.stderr and len(_rows(out)) == 3


@pytest.mark.parametrize(
    "flags, says",
    [
        (["--url", "ftp://x"], "--url='ftp://x' is not valid: base_url must begin with http"),
        (["--url", "http://127.0.0.1:1", "--admin"], "needs the service's admin key in PYTHON_EXE_KEY"),
    ],
)
def test_a_service_that_cannot_be_asked_is_a_usage_error(tmp_path, flags, says) -> None:
    done = _batch(_write(tmp_path / "in", [{"id": "1", "code": "1"}]), tmp_path / "out", *flags)
    assert done.returncode == 2 and says in done.stderr


# -- the files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line, says",
    [
        ("nonsense", "line 2: not JSON in UTF-8"),
        ("[1]", "line 2: must be an object"),
        ('{"code": "1"}', "line 2: 'id' must be a string of 1 to 200 characters"),
        ('{"id": 5, "code": "1"}', "line 2: 'id' must be a string"),
        ('{"id": "", "code": "1"}', "line 2: 'id' must be a string"),
        (json.dumps({"id": "x" * 201}), "line 2: 'id' must be a string"),
        ('{"id": "\\ud800"}', "line 2: 'id' has a lone surrogate"),
        ('{"id": "a", "code": "2"}', "line 2: the id 'a' is on line 1, too"),
    ],
)
def test_a_line_that_is_no_job_is_named_before_any_is_run(tmp_path, line, says) -> None:
    (tmp_path / "in").write_text('{"id": "a", "code": "1"}\n' + line + "\n\n")
    done = _batch(tmp_path / "in", tmp_path / "out")
    assert done.returncode == 1 and says in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_no_results_is_left_alone(tmp_path) -> None:
    jobs = _write(tmp_path / "in", [{"id": "a", "code": "1"}])
    (tmp_path / "out").write_text("precious\n")
    done = _batch(jobs, tmp_path / "out")
    assert done.returncode == 1 and "line 1, which should be a result: not JSON" in done.stderr
    assert (tmp_path / "out").read_text() == "precious\n"
    done = _batch(jobs, tmp_path / "out", "--url", "")
    assert done.returncode != 0


def test_two_batches_do_not_write_to_one_file(tmp_path) -> None:
    first = Results(str(tmp_path / "out"))
    with pytest.raises(ValidationError, match="Another batch is writing to"):
        Results(str(tmp_path / "out"))
    first.close()
    Results(str(tmp_path / "out")).close()


def test_without_out_nothing_is_done(tmp_path) -> None:
    jobs = _write(tmp_path / "in", [{"id": "a", "code": "1"}])
    command = [sys.executable, "-m", "pyexec", "batch", str(jobs)]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT)
    assert done.returncode == 2 and "batch needs --out RESULTS" in done.stderr


# -- a runner that dies -------------------------------------------------------------------------------------------------

GOOD = b'{"status": "success", "execution_details": {"success": true}}'


class Fragile:
    """A runner in which a job named "kill" takes all that is under way down with itself."""

    at_once = 4

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.under_way: Dict[int, bool] = {}  # thread → whether it is doomed
        self.alone: List[bool] = []
        self.tries: Counter[str] = Counter()

    def run(self, body: Dict[str, Any]) -> bytes:
        me = threading.get_ident()
        with self.lock:
            self.tries[body["code"]] += 1
            self.under_way[me] = False
        time.sleep(0.005)
        with self.lock:
            if body["code"] == "kill":
                self.alone.append(len(self.under_way) == 1)
                self.under_way = dict.fromkeys(self.under_way, True)
            if self.under_way.pop(me):
                raise RunnerDied("gone")
        return GOOD

    def await_ready(self) -> None:
        """Be ready."""


def _run(tmp_path: Any, runner: Any, rows: Sequence[Any]) -> int:
    results = Results(str(tmp_path / "out"))
    try:
        return Batch(Jobs(str(_write(tmp_path / "in", rows))), results, runner).run()
    finally:
        results.close()


def test_a_script_that_takes_its_runner_down_three_times_is_lost_and_no_other(tmp_path, capsys) -> None:
    rows = [{"id": str(n), "code": "kill" if n == 20 else str(n)} for n in range(50)]
    runner = Fragile()
    assert _run(tmp_path, runner, rows) == 1
    found = _rows(tmp_path / "out")
    assert len(found) == 50 and [id for id, row in found.items() if row["status"] != "success"] == ["20"]
    assert found["20"] == {
        "id": "20",
        "status": "lost",
        "error_details": {"type": "Lost", "message": "What ran it died 3 times: gone"},
    }
    assert runner.tries["kill"] == 4 and runner.alone[1:] == [True, True, True]
    assert "1 lost" in capsys.readouterr().err


def test_a_runner_that_does_not_come_back_is_held_against_no_script(tmp_path, capsys) -> None:
    class Gone(Fragile):
        def await_ready(self) -> None:
            raise CannotGoOn("it is gone for good")

    rows = [{"id": str(n), "code": "kill" if n == 5 else str(n)} for n in range(50)]
    assert _run(tmp_path, Gone(), rows) == 1
    found = _rows(tmp_path / "out")
    assert all(row["status"] == "success" for row in found.values()) and "5" not in found
    assert "stopped: it is gone for good; the same command goes on from here" in capsys.readouterr().err


def test_a_disk_that_is_full_stops_the_batch(tmp_path, capsys, monkeypatch) -> None:
    def full(self: Any, id: str, document: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Results, "add", full)
    assert _run(tmp_path, Fragile(), [{"id": str(n), "code": str(n)} for n in range(50)]) == 1
    assert "stopped: [Errno 28] No space left on device" in capsys.readouterr().err
