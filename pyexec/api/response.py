"""The one place where answers are made: what came of a run, an error, or a document, to an `Answer`.

Source of the shapes: docs/api.md, field for field. `request` is the way in.
"""

from __future__ import annotations

import binascii
import json
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, NamedTuple

from pyexec.api import hints, import_advice
from pyexec.callers import Caller
from pyexec.config import Config
from pyexec.errors import ForbiddenImportError, PyexecError, ResourceLimitError, RunTimeoutError
from pyexec.http1.answer import CLOSED_BY_CLIENT, JSON, Answer, Encoded, Part
from pyexec.http1.message import Head
from pyexec.job import ENDED, FORBIDDEN, RESOURCE, TIMEOUT, Job, Outcome, OutputFile
from pyexec.limits import Quota

_LARGE = 1 << 18  # bytes of content; anything smaller is encoded at once and sent in one write with the rest
NO_STORE = ("Cache-Control", "no-store")


@dataclass(frozen=True)
class Context:
    """What an answer says beside its result: when, to whom, what is left of their quota, how busy the server was."""

    moment: datetime
    caller: Caller | None = None  # None where the path has nothing to do with callers
    quota: Quota | None = None  # None for admins
    active: int = 0  # runs going on when the request was admitted or refused


class Done(NamedTuple):
    """A job and what came of it; `hint` is advice for its caller, see `hints`."""

    job: Job
    outcome: Outcome
    hint: str | None = None


def respond(result: Done | PyexecError, context: Context, config: Config) -> Answer:
    """Return the answer to a request that was carried out, or that ended in an error."""
    error = error_of(result.outcome, config, result.job) if isinstance(result, Done) else result
    document: dict[str, Any] = {
        "status": "success" if error is None else "error",
        "timestamp_utc": timestamp(context.moment),
    }
    if error is not None:
        document["error_details"] = _error_details(error, result.hint if isinstance(result, Done) else None)
    if context.caller is not None:
        document["user_info"] = user_info(context.caller, context.quota)
        document["server_status"] = server_status(context.active, config.max_runs)
    if error is None and isinstance(result, Done):
        document["request_context"] = _request_context(result.job)
    # A script that was refused for its imports has no say in its answer.
    if isinstance(result, Done) and result.outcome.verdict != FORBIDDEN:
        parts = _with_run(document, result)
    else:
        parts = [dumps(document)]
    return addressed(Answer(200, parts) if error is None else _of_error(error, parts), context)


def addressed(answer: Answer, context: Context) -> Answer:
    """Return an answer that says, to the log and in its header, whose it is and what is left of their quota."""
    if context.caller is not None:
        _to(context.caller, answer)
    if context.quota is not None:
        answer.fields += rate_limit_fields(context.quota)
    return answer


def nobody(caller: Caller) -> Answer:
    """Return what stands for the answer to a caller that has gone; it is logged and never sent."""
    return _to(caller, Answer(CLOSED_BY_CLIENT, [], kind="CallerGone"))


def _to(caller: Caller, answer: Answer) -> Answer:
    """Return an answer with what the log may say of its caller."""
    answer.caller = "admin" if caller.unlimited else caller.address
    answer.key = caller.key.name if caller.key is not None else ""
    return answer


def _of_error(error: PyexecError, parts: list[Part]) -> Answer:
    return Answer(
        error.status,
        parts,
        fields=[NO_STORE, *error.header_fields()],
        kind=error.type,
        limit_name=error.limit_name,
        fault=error.fault_id,
    )


def document(value: Any, status: int = 200) -> Answer:
    """Return a JSON document that holds for this moment only."""
    return Answer(status, [dumps(value)], fields=[NO_STORE])


def kept(head: Head, content: bytes, content_type: str = JSON, tag: str = "", *more: tuple[str, str]) -> Answer:
    """Return what the client may keep if it asks each time whether it is still right (RFC 9110, 13.1.2)."""
    tag = tag or tag_of(content)
    fields = [("Cache-Control", "no-cache"), ("ETag", tag), *more]
    if head.has(tag):
        return Answer(304, [], fields=fields)
    return Answer(200, [content], content_type, fields)


def tag_of(content: bytes) -> str:
    """Return the ETag of some bytes."""
    return f'"{sha256(content).hexdigest()[:24]}"'


def error_of(outcome: Outcome, config: Config, job: Job) -> PyexecError | None:
    """Return the error that an outcome is for its caller, None for a run that ended by itself."""
    if outcome.verdict == TIMEOUT:
        return RunTimeoutError(config.budget.wall_s)
    if outcome.verdict == RESOURCE:
        return ResourceLimitError(outcome.resource, outcome.limit, outcome.crowding_bytes)
    if outcome.verdict == FORBIDDEN:
        attached = [each.filename for each in job.attachments]
        helpful = import_advice.advice(outcome.modules, config.modules, attached)
        return ForbiddenImportError(outcome.modules, config.modules, helpful)
    assert outcome.verdict == ENDED
    return None


def user_info(caller: Caller, quota: Quota | None) -> dict[str, Any]:
    """Return the `user_info` of an answer."""
    if caller.unlimited or quota is None:
        return {"role": "admin", "rate_limits_applied": False}
    role: dict[str, Any] = {"role": "admin"} if caller.admin else {}
    return {
        **role,
        "ip_address": caller.address,
        **({"key": caller.key.name} if caller.key is not None else {}),
        "daily_quota_limit": quota.daily_limit,
        "requests_today": quota.used_today,
        "requests_remaining_today": quota.left_today,
    }


def server_status(active: int, max_runs: int) -> dict[str, Any]:
    """Return the `server_status` of an answer."""
    return {
        "load": "high" if active >= max_runs else "normal",
        "active_processes_at_request": active,
        "max_concurrent_processes": max_runs,
    }


def rate_limit_fields(quota: Quota) -> list[tuple[str, str]]:
    """Return the fields of draft-ietf-httpapi-ratelimit-headers; none where nothing is limited."""
    policies, left = [], []
    if quota.minute_limit is not None:
        policies.append(f'"minute";q={quota.minute_limit};w=60')
        left.append(f'"minute";r={quota.minute_left};t={quota.minute_reset_s}')
    if quota.daily_limit is not None:
        policies.append(f'"day";q={quota.daily_limit};w=86400')
        left.append(f'"day";r={quota.left_today};t={quota.day_reset_s}')
    return [("RateLimit-Policy", ", ".join(policies)), ("RateLimit", ", ".join(left))] if left else []


def dumps(value: Any) -> bytes:
    """Return a value as JSON in UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(", ", ": ")).encode("utf-8")


def timestamp(utc: datetime) -> str:
    """Return a moment as the contract writes it, always with microseconds."""
    return utc.isoformat(timespec="microseconds")


def _request_context(job: Job) -> dict[str, Any]:
    return {
        "code_length": len(job.code),
        "attachment_count": len(job.attachments),
        "stdin_provided": job.stdin is not None,
        "processed_attachments": [
            {"filename": item.filename, "size_bytes": len(item.content)} for item in job.attachments
        ],
    }


def _error_details(error: PyexecError, hint: str | None) -> dict[str, Any]:
    details = {"type": error.type, "message": error.message, **error.fields()}
    hint = hint or details.get("hint") or hints.for_error(error)
    return details if hint is None else {**details, "hint": hint}


def execution_details(done: Done) -> dict[str, Any]:
    """Return the `execution_details` of a run, but for its files."""
    outcome = done.outcome
    details: dict[str, Any] = {
        "success": outcome.verdict == ENDED and outcome.exit_code == 0,
        "stdout": _text(outcome.stdout, outcome.stdout_truncated),
        "stderr": _text(outcome.stderr, outcome.stderr_truncated),
        "exit_code": outcome.exit_code,
        "execution_duration_sec": round(outcome.duration_s, 6),
        "stdout_truncated": outcome.stdout_truncated,
        "stderr_truncated": outcome.stderr_truncated,
        "files_written": [{"path": file.path, "size_bytes": file.size_bytes} for file in outcome.written],
        "files_written_truncated": outcome.written_truncated,
    }
    hint = done.hint if outcome.verdict == ENDED else None  # else it is the error's
    further = {"hint": hint, "error": outcome.error, "value": outcome.value}
    details.update((name, found) for name, found in further.items() if found is not None)
    return details


def _text(data: bytes, truncated: bool) -> str:
    # The cut may have gone through a character; half of one is our doing and not shown.
    if truncated:
        for back in range(1, min(4, len(data)) + 1):
            byte = data[-back]
            if byte & 0xC0 != 0x80:
                width = 1 if byte < 0x80 else 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
                data = data[: len(data) - back] if width > back else data
                break
    return data.decode("utf-8", "replace")


def _with_run(document: dict[str, Any], done: Done) -> list[Part]:
    """Return a document with the run's details as its last part; files are spliced in.

    json.dumps would take 50 times as long over large contents.
    """
    head = dumps({**document, "execution_details": execution_details(done)})
    assert head.endswith(b"}}")
    parts: list[Part] = [head[:-2], b', "output_files": {']
    for index, file in enumerate(done.outcome.files):
        parts.append((b", " if index else b"") + dumps(file.name) + b": ")
        parts += _output_file(file)
    parts.append(b"}}}")
    return parts


def _output_file(file: OutputFile) -> list[Part]:
    content = file.content
    if content is not None:
        text: Part = Encoded(content) if len(content) > _LARGE else binascii.b2a_base64(content, newline=False)
        return [b'{"content_base64": "', text, b'", "size_bytes": %d}' % len(content)]
    entry: dict[str, Any] = {"error": file.error}
    if file.size_bytes is not None:
        entry["size_bytes"] = file.size_bytes
    return [dumps(entry)]
