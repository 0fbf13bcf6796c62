"""`pyexec batch`, when something goes wrong that would for every job: it stops, says why, and takes no job for done."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import threading
from typing import Any, Dict, Iterator, List

import pytest

from pyexec.cli import batch_files
from pyexec.cli.batch_course import Batch
from pyexec.cli.batch_files import Jobs, Results
from pyexec.cli.batch_runners import Runner, Service
from pyexec.config import Config

COUNT = 20
GOOD = b'{"status": "success", "execution_details": {"success": true}}'
GOES_ON = "; the same command goes on from here"


class Plain:
    """A runner to which every job is good."""

    at_once = 4

    def run(self, body: Dict[str, Any]) -> bytes:
        return GOOD

    def await_ready(self) -> None:
        """Be ready."""


def _run(tmp_path: Any, runner: Runner, count: int = COUNT) -> int:
    """Run jobs with the ids 0, 1, …, each of which is its code as well."""
    jobs = tmp_path / "in"
    jobs.write_text("".join(json.dumps({"id": str(n), "code": str(n)}) + "\n" for n in range(count)))
    with contextlib.closing(Results(str(tmp_path / "out"))) as results:
        return Batch(Jobs(str(jobs)), results, runner).run()


def _ids(tmp_path: Any) -> List[str]:
    return [json.loads(line)["id"] for line in (tmp_path / "out").read_text().splitlines()]


# -- an error that nobody has thought of --------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [KeyError("status"), MemoryError(), RuntimeError("can't start new thread")])
def test_an_unexpected_error_stops_the_batch_and_is_named(tmp_path, capsys, error) -> None:
    class Faulty(Plain):
        def run(self, body: Dict[str, Any]) -> bytes:
            if body["code"] == "7":
                raise error
            return GOOD

    assert _run(tmp_path, Faulty()) == 1
    said = capsys.readouterr().err
    assert "stopped: unexpected %r%s" % (error, GOES_ON) in said and "Traceback" in said and "in _next" in said
    assert "7" not in _ids(tmp_path)
    assert _run(tmp_path, Plain()) == 0 and sorted(_ids(tmp_path), key=int) == [str(n) for n in range(COUNT)]


def test_what_cannot_be_counted_has_no_line(tmp_path, capsys) -> None:
    class Foreign(Plain):
        def run(self, body: Dict[str, Any]) -> bytes:
            return b'{"error_details": {}}'

    assert _run(tmp_path, Foreign()) == 1
    assert "stopped: unexpected KeyError('status')" in capsys.readouterr().err and _ids(tmp_path) == []


def test_jobs_without_a_result_are_no_success_whatever_became_of_them(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(Results, "add", lambda self, id, document: None)
    assert _run(tmp_path, Plain()) == 1
    assert "stopped: 20 scripts ended without a result" + GOES_ON in capsys.readouterr().err


# -- a disk that is full ------------------------------------------------------------------------------------------------


class Disk:
    """In place of `os` for the results: half of one line fits, then nothing does, and later there is space again."""

    def __init__(self, lines: int, undo: bool = True) -> None:
        self.lines, self.undo, self.calls = lines, undo, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def write(self, descriptor: int, data: Any) -> int:
        self.calls += 1
        if self.calls == self.lines + 1:
            return os.write(descriptor, data[: len(data) // 2])
        if self.calls == self.lines + 2:
            raise OSError(28, "No space left on device")
        return os.write(descriptor, data)

    def ftruncate(self, descriptor: int, size: int) -> None:
        if not self.undo:
            raise OSError(5, "Input/output error")
        os.ftruncate(descriptor, size)


def test_half_a_line_is_taken_back_and_nothing_is_written_behind_it(tmp_path, monkeypatch) -> None:
    path = tmp_path / "out"
    with contextlib.closing(Results(str(path))) as results, monkeypatch.context() as patch:
        patch.setattr(batch_files, "os", Disk(1))
        results.add("a", GOOD)
        kept = path.read_bytes()
        for id in ("b", "c", "b"):
            with pytest.raises(OSError, match="No space left on device"):
                results.add(id, GOOD)
            assert path.read_bytes() == kept and results.done == {"a"}
        results.add("a", GOOD)  # which is there
    with contextlib.closing(Results(str(path))) as results:
        results.add("b", GOOD)
        assert results.done == {"a", "b"} and _ids(tmp_path) == ["a", "b"]


def test_half_a_line_that_cannot_be_taken_back_is_the_last(tmp_path, monkeypatch) -> None:
    path = tmp_path / "out"
    with contextlib.closing(Results(str(path))) as results, monkeypatch.context() as patch:
        patch.setattr(batch_files, "os", Disk(1, undo=False))
        results.add("a", GOOD)
        for _ in range(2):
            with pytest.raises(OSError):
                results.add("b", GOOD)
        assert path.read_bytes().count(b"\n") == 1 and not path.read_bytes().endswith(b"\n")
    with contextlib.closing(Results(str(path))) as results:
        assert results.done == {"a"} and _ids(tmp_path) == ["a"]


def test_a_disk_that_was_full_for_a_moment_leaves_a_file_to_go_on_with(tmp_path, capsys, monkeypatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(batch_files, "os", Disk(5))
        assert _run(tmp_path, Plain()) == 1
    assert "stopped: [Errno 28] No space left on device" + GOES_ON in capsys.readouterr().err
    assert len(_ids(tmp_path)) == 5
    assert _run(tmp_path, Plain()) == 0 and sorted(_ids(tmp_path), key=int) == [str(n) for n in range(COUNT)]


# -- a service that isn't one -------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _service(status: int, document: Any) -> Iterator[Service]:
    """What answers every request with this document."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            body = json.dumps(document).encode("ascii")
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as serving:
        thread = threading.Thread(target=serving.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield Service("http://127.0.0.1:%d" % serving.server_port, Config.of(), admin=False)
        finally:
            serving.shutdown()
            thread.join()


TYPE = {"type": "ValidationError", "message": "No."}


@pytest.mark.parametrize("status", [400, 413])
@pytest.mark.parametrize(
    "document",
    [
        {},
        {"error_details": TYPE},
        {"status": 400, "error_details": TYPE},
        {"status": "success", "error_details": TYPE},
        {"status": "error"},
        {"status": "error", "error_details": "No."},
        {"status": "error", "error_details": {"message": "No."}},
        {"status": "error", "error_details": {"type": None}},
        {"status": "error", "error_details": {"type": ["x"]}},
    ],
)
def test_a_refusal_that_is_not_of_pyexec_is_no_answer(tmp_path, capsys, status, document) -> None:
    with _service(status, document) as service:
        assert _run(tmp_path, service) == 1
    said = capsys.readouterr().err
    assert "stopped: the answer isn't from pyexec: " in said and GOES_ON in said and "Traceback" not in said
    assert _ids(tmp_path) == []


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"execution_details": {"success": True}},
        {"status": "success"},
        {"status": "success", "execution_details": []},
        {"status": "success", "execution_details": {}},
        {"status": "error", "error_details": TYPE},
    ],
)
def test_a_success_that_is_not_of_pyexec_is_no_answer(tmp_path, capsys, document) -> None:
    with _service(200, document) as service:
        assert _run(tmp_path, service) == 1
    assert "stopped: the answer isn't from pyexec; is the URL right?" in capsys.readouterr().err
    assert _ids(tmp_path) == []


def test_a_refusal_of_pyexec_is_the_answer_to_a_job(tmp_path) -> None:
    document = {"status": "error", "error_details": TYPE}
    with _service(400, document) as service:
        assert _run(tmp_path, service, 1) == 0
    assert json.loads((tmp_path / "out").read_text()) == dict(document, id="0")
