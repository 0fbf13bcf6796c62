"""Jobs made without HTTP are refused what the contract refuses, in the same words (as CVE-2026-25592 was, elsewhere).

An agent framework that embeds the sandbox hands on what a model wrote.
"""

from __future__ import annotations

import base64
import json
import os
from typing import Any, Callable, Dict, Tuple

import pytest

from pyexec import Attachment, Config, Job, Sandbox, ValidationError
from pyexec.api import request as contract
from pyexec.runs import workdir

CONFIG = Config.of()
FILENAMES = [
    "",
    "/etc/cron.d/x",
    "../x",
    "a/b",
    "a\\b",
    ".",
    "..",
    "a\0",
    "a\n",
    "\x7f",
    "\x85",
    "script.py",
    "é" * 128,
]
FILENAMES += ["\ud800"]
PATHS = ["", "/etc/shadow", "../../etc/shadow", "a/../b", "..", "a/..", "a\0b", "é" * 2048, "/", "\udc80"]
TYPES: Dict[str, Tuple[Callable[[], Any], str]] = {
    "code as bytes": (lambda: Job(b"1"), "'code' must be a string, not bytes."),  # type: ignore[arg-type]
    "no code": (lambda: Job(None), "'code' must be a string, not NoneType."),  # type: ignore[arg-type]
    "stdin as text": (lambda: Job("1", "text"), "'stdin' must be bytes, not str."),  # type: ignore[arg-type]
    "a name for names": (
        lambda: Job("1", return_files="result.txt"),  # type: ignore[arg-type]
        "'return_files' must be a tuple, not str.",
    ),
    "a list": (lambda: Job("1", return_files=["a"]), "'return_files' must be a tuple, not list."),  # type: ignore[arg-type]
    "a name as bytes": (
        lambda: Job("1", return_files=("a", b"b")),  # type: ignore[arg-type]
        "'return_files[1]' must be a string, not bytes.",
    ),
    "an attachment alone": (
        lambda: Job("1", attachments=Attachment("a", b"")),  # type: ignore[arg-type]
        "'attachments' must be a tuple, not Attachment.",
    ),
    "a pair for an attachment": (
        lambda: Job("1", attachments=(("a", b""),)),  # type: ignore[arg-type]
        "'attachments[0]' must be an Attachment, not tuple.",
    ),
    "two of one name": (
        lambda: Job("1", attachments=(Attachment("a", b""), Attachment("a", b"1"))),
        "Two attachments are named 'a'.",
    ),
    "a name that is none": (lambda: Attachment(1, b""), "'filename' must be a string, not int."),  # type: ignore[arg-type]
    "content as text": (lambda: Attachment("a", "x"), "'content' must be bytes, not str."),  # type: ignore[arg-type]
    "content that may change": (
        lambda: Attachment("a", bytearray(1)),  # type: ignore[arg-type]
        "'content' must be bytes, not bytearray.",
    ),
    "admin as text": (lambda: Job("1", admin="no"), "'admin' must be True or False, not str."),  # type: ignore[arg-type]
}


def _of_contract(**fields: Any) -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        contract.parse(json.dumps(dict({"code": "1"}, **fields)).encode("ascii"), CONFIG)
    return caught.value


@pytest.mark.parametrize("name", FILENAMES)
def test_an_attachment_refuses_the_names_that_the_contract_refuses(name) -> None:
    with pytest.raises(ValidationError) as caught:
        Attachment(name, b"")
    over_http = _of_contract(attachments=[{"filename": name, "content_base_64": base64.b64encode(b"").decode()}])
    assert (caught.value.field, over_http.field) == ("filename", "attachments[0].filename")
    assert caught.value.message == over_http.message.replace("attachments[0].filename", "filename")


@pytest.mark.parametrize("name", PATHS)
def test_a_job_refuses_the_paths_that_the_contract_refuses(name) -> None:
    with pytest.raises(ValidationError) as caught:
        Job("1", return_files=("a", name))
    over_http = _of_contract(return_files=["a", name])
    assert (caught.value.message, caught.value.field) == (over_http.message, over_http.field)


@pytest.mark.parametrize("code", ["a\0", "'\ud800'"])
def test_a_job_refuses_the_code_that_the_contract_refuses(code) -> None:
    with pytest.raises(ValidationError) as caught:
        Job(code)
    assert caught.value.message == _of_contract(code=code).message
    with pytest.raises(ValidationError, match="at least 1 character"):
        Job("")


@pytest.mark.parametrize("case", TYPES)
def test_what_has_another_type_is_refused_by_name(case) -> None:
    make, message = TYPES[case]
    with pytest.raises(ValidationError) as caught:
        make()
    assert caught.value.message == message


def test_what_the_contract_takes_is_taken() -> None:
    job = Job("1", b"", (Attachment("ä b.txt", b""), Attachment("...", b"")), ("a", "./a", "a//b/", "...", "é" * 2047))
    assert contract.parse(
        json.dumps(
            {
                "code": "1",
                "stdin_data": "",
                "attachments": [{"filename": name, "content_base_64": ""} for name in ("ä b.txt", "...")],
                "return_files": list(job.return_files),
            }
        ).encode("ascii"),
        CONFIG,
    ).job == job  # fmt: skip


SETTINGS = {"stdin_bytes": 10, "attachments": 1, "attachment_bytes": 10, "return_files": 1, "workdir_bytes": 1 << 16}
TOO_MUCH = {
    "stdin": Job("1", bytes(11)),
    "attachments": Job("1", attachments=(Attachment("a", b""), Attachment("b", b""))),
    "attachments[0].content": Job("1", attachments=(Attachment("a", bytes(11)),)),
    "return_files": Job("1", return_files=("a", "b")),
}


@pytest.fixture(scope="module")
def sandbox() -> Any:
    """One with small settings."""
    with Sandbox(Config.of(max_runs=1, uid_base=30000000 + 10 * os.getpid(), **SETTINGS)) as small:
        yield small


@pytest.mark.parametrize("field", TOO_MUCH)
def test_a_sandbox_holds_jobs_to_its_settings(sandbox, field) -> None:
    with pytest.raises(ValidationError, match="may have at most 1") as caught:
        sandbox.run(TOO_MUCH[field])
    assert caught.value.field == field
    assert sandbox.run(Job("print(1)", bytes(10), (Attachment("a", bytes(10)),), ("a",))).stdout == b"1\n"


def test_only_requests_are_held_to_code_chars(sandbox) -> None:
    code = "#" * (Config.of().code_chars + 1) + "\nprint(1)"
    assert sandbox.run(Job(code)).stdout == b"1\n"
    with pytest.raises(ValidationError, match="1 to 2000 characters"):
        contract.parse(json.dumps({"code": code}).encode(), Config.of())


def test_what_does_not_fit_into_the_directory_is_known_before_the_run(sandbox) -> None:
    with pytest.raises(ValidationError, match="at most 65536 bytes on disk") as caught:
        sandbox.run(Job("#" * (1 << 16) + "\n1"))
    assert caught.value.field == "attachments"
    with pytest.raises(ValidationError, match="must be a Job, not str"):
        sandbox.run("print(1)")


def test_a_path_that_gets_past_all_rules_is_written_nowhere_and_read_from_nowhere(
    sandbox, monkeypatch, tmp_path
) -> None:
    """The workspace itself is the last door."""
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "outside").write_text("secret")
    fd = os.open(inside, os.O_RDONLY)
    try:
        for name in (str(tmp_path / "new"), "../new", "..", "", ".", "a/b", "a\0"):
            with pytest.raises(ValueError, match="no name of an entry"):
                workdir.put(fd, name, b"x")
        for name in (str(tmp_path / "outside"), "../outside", "a/../../outside", "a\0"):
            with pytest.raises(ValueError, match="no name of an entry"):
                list(workdir.collect(fd, [name], 100))
        assert sorted(os.listdir(tmp_path)) == ["inside", "outside"]
        assert os.listdir(inside) == []
        # The control: the kernel would have let us.
        leaves = os.open("../outside", os.O_RDONLY, dir_fd=fd)
        assert os.read(leaves, 10) == b"secret"
        os.close(leaves)
    finally:
        os.close(fd)
    # Forged, as by something that makes a Job and then changes it.
    job = Job("print(1)", return_files=("a",))
    object.__setattr__(job, "return_files", ("../../etc/passwd",))
    with pytest.raises(ValueError, match="no name of an entry"):
        sandbox.run(job)
    file = Attachment("a", b"x")
    object.__setattr__(file, "filename", str(tmp_path / "planted"))
    with pytest.raises(ValueError, match="no name of an entry"):
        sandbox.run(Job("print(1)", attachments=(file,)))
    assert not (tmp_path / "planted").exists()
    assert sandbox.run(Job("print(1)")).stdout == b"1\n"
