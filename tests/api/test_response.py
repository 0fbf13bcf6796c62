"""What an answer says: the contract's fields, output as text, errors, the quota as header fields."""

from __future__ import annotations

import base64
import json
import random
import re
from datetime import datetime, timezone
from typing import Any, Dict, Optional

import pytest
from answers import document_of
from counters import ANN, at, limits_of, use
from support import MIB

from pyexec import errors
from pyexec.api import hints, response
from pyexec.api.response import Context, Done
from pyexec.callers import Caller
from pyexec.config import Config
from pyexec.errors import RateLimitExceeded
from pyexec.job import ENDED, FORBIDDEN, RESOURCE, TIMEOUT, Attachment, Job, Outcome, OutputFile
from pyexec.limits import Quota

CONFIG = Config.of()
EMOJI = "\U0001f600"
# A list of strings with integer parameters, as RFC 9651 writes structured fields.
_MEMBER = r'"[a-z]+"(?:;[a-z]+=[0-9]{1,15})+'
_LIST = re.compile(_MEMBER + "(?:, " + _MEMBER + r")*\Z")


def test_the_quota_as_header_fields() -> None:
    counters = limits_of()
    use(counters, ANN, 2, at(0))
    fields = dict(response.rate_limit_fields(counters.quota(ANN, at(3.5))))
    assert fields == {
        "RateLimit-Policy": '"minute";q=5;w=60, "day";q=30;w=86400',
        "RateLimit": '"minute";r=3;t=21, "day";r=28;t=43197',
    }


def test_the_header_fields_are_always_well_formed() -> None:
    chance = random.Random(1)
    for _ in range(300):
        counters = limits_of(
            rate_per_minute=chance.choice([1, 7, 1000000]), rate_per_day=chance.choice([1, 30, 1000000])
        )
        seconds = 0.0
        for _ in range(10):
            seconds += chance.random() * 40
            try:
                quota = counters.charge(ANN, at(seconds))
            except RateLimitExceeded as error:
                assert error.retry_after_s >= 1
                quota = counters.quota(ANN, at(seconds))
            for _, value in response.rate_limit_fields(quota):
                assert _LIST.match(value), value


UTC = datetime(2024, 3, 15, 10, 30, 0, 123456, timezone.utc)


PUBLIC = Caller("192.0.2.1", "192.0.2.1")


QUOTA = Quota(30, 5, 5, 4, 12, 48600)


LOAD = {"load": "normal", "active_processes_at_request": 0, "max_concurrent_processes": 5}


EXAMPLE = json.loads(
    """{
  "status": "success",
  "timestamp_utc": "2024-03-15T10:30:00.123456+00:00",
  "user_info": {"ip_address": "192.0.2.1", "daily_quota_limit": 30, "requests_today": 5,
                "requests_remaining_today": 25},
  "server_status": {"load": "normal", "active_processes_at_request": 0, "max_concurrent_processes": 5},
  "request_context": {"code_length": 150, "attachment_count": 1, "stdin_provided": false,
                      "processed_attachments": [{"filename": "input.txt", "size_bytes": 1024}]},
  "execution_details": {"success": true, "stdout": "Process finished.\\n", "stderr": "", "exit_code": 0,
                        "execution_duration_sec": 0.0456,
                        "output_files": {"result.txt": {"content_base64": "SGVsbG8sIFdvcmxkIQ==", "size_bytes": 13}}}
}"""
)


def rendered(job: Job, outcome: Outcome) -> Dict[str, Any]:
    return document_of(Done(job, outcome), Context(UTC, PUBLIC, QUOTA, 0))


def failed(outcome: Outcome) -> Dict[str, Any]:
    """Return the document for a run that the service ended."""
    return document_of(Done(Job("1"), outcome), Context(UTC))


def outcome_of(verdict: str = ENDED, exit_code: Optional[int] = 0, **details: Any) -> Outcome:
    return Outcome(verdict, exit_code, 0.5, **details)


def test_the_contracts_example_field_for_field() -> None:
    job = Job("x" * 150, None, (Attachment("input.txt", bytes(1024)),), ("result.txt",))
    files = (OutputFile("result.txt", b"Hello, World!", 13),)
    found = rendered(job, Outcome(ENDED, 0, 0.0456, b"Process finished.\n", files=files))
    details = found["execution_details"]
    assert (details.pop("stdout_truncated"), details.pop("stderr_truncated")) == (False, False)
    assert (details.pop("files_written"), details.pop("files_written_truncated")) == ([], False)
    assert found == EXAMPLE
    assert list(found) == list(EXAMPLE)


def test_the_request_is_counted_in_characters_and_bytes() -> None:
    job = Job("é" + EMOJI, b"", (Attachment("ä", b"12"), Attachment("b", b"")))
    assert rendered(job, outcome_of())["request_context"] == {
        "code_length": 2,
        "attachment_count": 2,
        "stdin_provided": True,
        "processed_attachments": [{"filename": "ä", "size_bytes": 2}, {"filename": "b", "size_bytes": 0}],
    }


@pytest.mark.parametrize("exit_code", [1, 2, 120, 255, -2, -9, -11])
def test_a_script_that_fails_is_a_success_of_the_service(exit_code: int) -> None:
    found = rendered(Job("1"), outcome_of(exit_code=exit_code, stderr=b"Traceback\n"))
    assert found["status"] == "success"
    details = found["execution_details"]
    assert (details["success"], details["exit_code"], details["stderr"]) == (False, exit_code, "Traceback\n")


def test_each_kind_of_output_file() -> None:
    files = (
        OutputFile("empty", b"", 0),
        OutputFile('"ä\\\n\u2028', b"\xff\x00", 2),
        OutputFile("none", error="File not found after execution."),
        OutputFile("big", size_bytes=9 * MIB, error="File is too large."),
        OutputFile("link", error="Not a regular file."),
    )
    found = rendered(Job("1"), outcome_of(files=files))["execution_details"]["output_files"]
    assert found == {
        "empty": {"content_base64": "", "size_bytes": 0},
        '"ä\\\n\u2028': {"content_base64": "/wA=", "size_bytes": 2},
        "none": {"error": "File not found after execution."},
        "big": {"error": "File is too large.", "size_bytes": 9 * MIB},
        "link": {"error": "Not a regular file."},
    }
    assert list(found) == [file.name for file in files]


@pytest.mark.parametrize("size", [0, 1, 2, 3, 57, 58, 8 * MIB])
def test_a_big_file_is_one_line_of_base64(size: int) -> None:
    content = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    files = (OutputFile("a", content, size), OutputFile("b", b"!", 1))
    found = rendered(Job("1"), outcome_of(files=files))["execution_details"]["output_files"]
    assert base64.b64decode(found["a"]["content_base64"], validate=True) == content
    assert found["a"]["size_bytes"] == size
    assert found["b"] == {"content_base64": "IQ==", "size_bytes": 1}


@pytest.mark.parametrize("character", ["é", "ÿ", "€", "\uffff", EMOJI, "\U0010ffff"])
def test_a_cut_through_a_character_is_not_shown(character: str) -> None:
    raw = character.encode("utf-8")
    for length in range(1, len(raw)):
        data = b"ab" + raw + raw[:length]
        details = rendered(
            Job("1"), outcome_of(stdout=data, stdout_truncated=True, stderr=raw[:length], stderr_truncated=True)
        )
        assert details["execution_details"]["stdout"] == "ab" + character
        assert details["execution_details"]["stderr"] == ""
    whole = rendered(Job("1"), outcome_of(stdout=b"ab" + raw, stdout_truncated=True))["execution_details"]
    assert (whole["stdout"], whole["stdout_truncated"], whole["stderr_truncated"]) == ("ab" + character, True, False)


@pytest.mark.parametrize("data", [b"", b"x", b"\n", b"\0"])
def test_a_cut_between_characters_takes_nothing_away(data: bytes) -> None:
    details = rendered(Job("1"), outcome_of(stdout=data, stdout_truncated=True))["execution_details"]
    assert details["stdout"] == data.decode("ascii")


@pytest.mark.parametrize(
    "data, text",
    [
        (b"a\xffb", "a\ufffdb"),
        (b"\x80\x81", "\ufffd\ufffd"),
        (b"a\xe2\x82", "a\ufffd"),
        (b"\xed\xa0\x80", "\ufffd\ufffd\ufffd"),
        (b"\xc3\xa9\xc3", "é\ufffd"),
    ],
)
def test_invalid_utf8_is_replaced(data: bytes, text: str) -> None:
    details = rendered(Job("1"), outcome_of(stdout=data, stderr=data))["execution_details"]
    assert (details["stdout"], details["stderr"]) == (text, text)


def test_invalid_utf8_before_a_cut_is_replaced_too() -> None:
    details = rendered(Job("1"), outcome_of(stdout=b"\x80" * 9, stdout_truncated=True))["execution_details"]
    assert details["stdout"] == "\ufffd" * 9


def test_output_is_json_whatever_it_is() -> None:
    text = "".join(map(chr, range(0, 0x300))) + '\u2028\u2029\ufeff\uffff\U0010ffff</script>"\\'
    details = rendered(Job("1"), outcome_of(stdout=text.encode("utf-8")))["execution_details"]
    assert details["stdout"] == text


def test_a_moment_is_always_written_with_microseconds() -> None:
    assert response.timestamp(datetime(2024, 3, 15, tzinfo=timezone.utc)) == "2024-03-15T00:00:00.000000+00:00"


def test_admins_have_no_quota() -> None:
    admin = {"role": "admin", "rate_limits_applied": False}
    assert response.user_info(Caller("192.0.2.1", "192.0.2.1", admin=True), QUOTA) == admin
    assert response.user_info(Caller("192.0.2.1", "192.0.2.1", admin=True), None) == admin
    assert response.user_info(PUBLIC, QUOTA) == EXAMPLE["user_info"]


ERRORS = [
    (errors.ValidationError("No.", "code"), 400, "ValidationError", {"field": "code"}),
    (errors.ValidationError("No."), 400, "ValidationError", {"field": None}),
    (
        errors.ForbiddenImportError(("os", "a.b"), ("math",)),
        400,
        "ForbiddenImportError",
        {"modules": ["os", "a.b"], "allowed": ["math"]},
    ),
    (errors.RunTimeoutError(10.0), 400, "TimeoutError", {}),
    (errors.ResourceLimitError("memory", 5), 400, "ResourceLimitError", {"resource": "memory", "limit": 5}),
    (errors.AuthenticationError("No."), 401, "AuthenticationError", {}),
    (errors.Forbidden("No."), 403, "Forbidden", {}),
    (errors.NotFound("No."), 404, "NotFound", {}),
    (errors.MethodNotAllowed("PUT", ("GET", "HEAD")), 405, "MethodNotAllowed", {}),
    (errors.RequestTimeout("Late."), 408, "RequestTimeout", {}),
    (errors.LengthRequired("No."), 411, "LengthRequired", {}),
    (errors.PayloadTooLarge("No."), 413, "PayloadTooLarge", {}),
    (errors.UnsupportedMediaType("No."), 415, "UnsupportedMediaType", {}),
    (errors.MisdirectedRequest("No."), 421, "MisdirectedRequest", {}),
    (errors.RateLimitExceeded("Daily quota of 30 exceeded.", 9), 429, "RateLimitExceeded", {"retry_after_sec": 9}),
    (errors.HeadersTooLarge("No."), 431, "HeadersTooLarge", {}),
    (errors.InternalServerError("the secret reason", "0123abcd"), 500, "InternalServerError", {"id": "0123abcd"}),
    (errors.NotImplementedHere("No."), 501, "NotImplemented", {}),
    (errors.ServerBusy("Full.", 2), 503, "ServerBusy", {"retry_after_sec": 2}),
    (errors.VersionNotSupported("No."), 505, "VersionNotSupported", {}),
]


def test_what_a_run_says_of_itself_is_passed_on() -> None:
    error = {"type": "E", "message": "", "line": None, "code": "", "frames": []}
    outcome = outcome_of(exit_code=1, error=error, value={"repr": "1", "json": None})
    details = document_of(Done(Job("1"), outcome, "Do this."), Context(UTC))["execution_details"]
    assert (details["error"], details["value"], details["hint"]) == (error, {"repr": "1", "json": None}, "Do this.")
    assert not {"error", "value", "hint"} & set(
        document_of(Done(Job("1"), outcome_of()), Context(UTC))["execution_details"]
    )


@pytest.mark.parametrize("error, status, kind, more", ERRORS, ids=lambda value: value if isinstance(value, str) else "")
def test_each_error_has_one_shape(error: errors.PyexecError, status: int, kind: str, more: Dict[str, Any]) -> None:
    bare = document_of(error, Context(UTC))
    details = dict({"type": kind, "message": error.message}, **more)
    hint = hints.for_error(error)
    details.update({} if hint is None else {"hint": hint})
    assert bare == {"status": "error", "timestamp_utc": EXAMPLE["timestamp_utc"], "error_details": details}
    known = Context(UTC, PUBLIC, QUOTA, 0)
    full = document_of(error, known)
    assert full == dict(bare, user_info=EXAMPLE["user_info"], server_status=LOAD)
    answer = response.respond(error, known, CONFIG)
    assert (answer.status, error.status, answer.kind) == (status, status, kind)
    assert "secret" not in json.dumps(full)


@pytest.mark.parametrize("error", [row[0] for row in ERRORS], ids=lambda error: error.type)
def test_an_answer_carries_its_errors_own_header_fields(error: errors.PyexecError) -> None:
    answer = response.respond(error, Context(UTC), CONFIG)
    assert answer.fields == [("Cache-Control", "no-store"), *error.header_fields()]
    assert answer.fault == ("0123abcd" if error.status == 500 else "")


def test_an_answer_names_its_caller_for_the_log_and_carries_the_quota() -> None:
    for result in (Done(Job("1"), outcome_of()), errors.NotFound("No.")):
        answer = response.respond(result, Context(UTC, PUBLIC, QUOTA, 0), CONFIG)
        assert answer.caller == PUBLIC.address
        assert [name for name, _ in answer.fields if name.startswith("RateLimit")] == ["RateLimit-Policy", "RateLimit"]
        admin = response.respond(result, Context(UTC, Caller("192.0.2.1", "192.0.2.1", admin=True)), CONFIG)
        assert admin.caller == "admin"
        assert not [name for name, _ in admin.fields if name.startswith("RateLimit")]


def test_a_forbidden_import_shows_nothing_of_the_run() -> None:
    assert "execution_details" not in failed(outcome_of(FORBIDDEN, -9, stdout=b"x", modules=("os",)))


def test_load_is_high_once_every_slot_is_taken() -> None:
    for active, load in ((0, "normal"), (1, "normal"), (2, "high")):
        found = {"load": load, "active_processes_at_request": active, "max_concurrent_processes": 2}
        assert response.server_status(active, 2) == found


def test_no_error_type_is_untested() -> None:
    classes = {type(row[0]) for row in ERRORS}
    assert classes == set(errors.PyexecError.__subclasses__())


def test_an_error_carries_what_the_run_had_printed() -> None:
    outcome = Outcome(TIMEOUT, -9, 10.01, "so far\né".encode()[:-1], b"", stdout_truncated=True)
    found = failed(outcome)
    assert found["error_details"]["type"] == "TimeoutError"
    details = found["execution_details"]
    assert set(EXAMPLE["execution_details"]) <= set(details)
    assert (details["success"], details["stdout"], details["output_files"]) == (False, "so far\n", {})
    assert (details["execution_duration_sec"], details["stdout_truncated"]) == (10.01, True)


def test_a_run_that_was_ended_is_no_success_whatever_its_exit_code() -> None:
    assert failed(outcome_of(TIMEOUT, 0))["execution_details"]["success"] is False


def test_the_error_of_each_verdict() -> None:
    assert response.error_of(outcome_of(ENDED, 1), CONFIG, Job("1")) is None
    late = response.error_of(outcome_of(TIMEOUT, None), Config.of(wall_s=2.5), Job("1"))
    assert late is not None and (late.type, late.message) == (
        "TimeoutError",
        "Execution exceeded the time limit of 2.5 seconds.",
    )
    full = response.error_of(outcome_of(RESOURCE, None, resource="disk", limit=7), CONFIG, Job("1"))
    assert full is not None and (full.type, full.fields()) == ("ResourceLimitError", {"resource": "disk", "limit": 7})
    forbidden = response.error_of(outcome_of(FORBIDDEN, None, modules=("os",)), CONFIG, Job("1"))
    assert forbidden is not None and (forbidden.type, forbidden.fields()) == (
        "ForbiddenImportError",
        {"modules": ["os"], "allowed": list(CONFIG.modules)},
    )
    assert forbidden.message.startswith(
        "Import of 'os' is not allowed. Instead of 'os' use 'pathlib', 'shutil' or 'glob'."
    )
    with pytest.raises(AssertionError):
        response.error_of(outcome_of("nonsense"), CONFIG, Job("1"))
