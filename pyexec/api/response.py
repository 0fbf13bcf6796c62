"""An `Outcome` or an error to the bytes of an answer, field for field as the HTTP contract has it. Pure.

Source of the shapes: docs/api.md. `contract` is the way in.
"""

from __future__ import annotations

import binascii
import json
from datetime import datetime
from typing import Any, Dict, List, Optional, Tuple

from pyexec.callers import Caller
from pyexec.config import Config
from pyexec.errors import ForbiddenImportError, PyexecError, ResourceLimitError, RunTimeoutError
from pyexec.http1.answer import Encoded, Part
from pyexec.job import ENDED, FORBIDDEN, RESOURCE, TIMEOUT, Job, Outcome, OutputFile
from pyexec.limits import Quota

_LAZY = 1 << 18  # bytes of content; what is smaller goes out in one write with the rest


def error_of(outcome: Outcome, config: Config) -> Optional[PyexecError]:
    """Return the error that an outcome is for its caller, None for a run that ended by itself."""
    if outcome.verdict == TIMEOUT:
        return RunTimeoutError(config.budget.wall_s)
    if outcome.verdict == RESOURCE:
        return ResourceLimitError(outcome.resource, outcome.limit)
    if outcome.verdict == FORBIDDEN:
        return ForbiddenImportError(outcome.modules)
    assert outcome.verdict == ENDED
    return None


def user_info(caller: Caller, quota: Optional[Quota]) -> Dict[str, Any]:
    """Return the `user_info` of an answer."""
    if caller.admin or quota is None:
        return {"role": "admin", "rate_limits_applied": False}
    return {
        "ip_address": caller.address,
        "daily_quota_limit": quota.daily_limit,
        "requests_today": quota.used_today,
        "requests_remaining_today": quota.left_today,
    }


def rate_limit_headers(quota: Quota) -> List[Tuple[str, str]]:
    """Return the fields of draft-ietf-httpapi-ratelimit-headers."""
    policy = '"minute";q=%d;w=60, "day";q=%d;w=86400' % (quota.minute_limit, quota.daily_limit)
    left = '"minute";r=%d;t=%d, "day";r=%d;t=%d' % (
        quota.minute_left,
        quota.minute_reset_s,
        quota.left_today,
        quota.day_reset_s,
    )
    return [("RateLimit-Policy", policy), ("RateLimit", left)]


def _text(data: bytes, truncated: bool) -> str:
    # A cut may go through a character; that the last one is half there is our doing and not shown.
    if truncated:
        for back in range(1, min(4, len(data)) + 1):
            byte = data[-back]
            if byte & 0xC0 != 0x80:
                width = 1 if byte < 0x80 else 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
                data = data[: len(data) - back] if width > back else data
                break
    return data.decode("utf-8", "replace")


def _execution_details(outcome: Outcome) -> Dict[str, Any]:
    return {
        "success": outcome.verdict == ENDED and outcome.exit_code == 0,
        "stdout": _text(outcome.stdout, outcome.stdout_truncated),
        "stderr": _text(outcome.stderr, outcome.stderr_truncated),
        "exit_code": outcome.exit_code,
        "execution_duration_sec": round(outcome.duration_s, 6),
        "stdout_truncated": outcome.stdout_truncated,
        "stderr_truncated": outcome.stderr_truncated,
    }


def dumps(value: Any) -> bytes:
    """Return a value as JSON in UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(", ", ": ")).encode("utf-8")


def timestamp(utc: datetime) -> str:
    """Return a moment as the contract writes it, always with microseconds."""
    return utc.isoformat(timespec="microseconds")


def render_success(
    job: Job, outcome: Outcome, user: Dict[str, Any], server: Dict[str, Any], utc: datetime
) -> List[Part]:
    """Return the body of a 200 in parts; big contents are spliced in, since json.dumps would take 50 times longer."""
    document = {
        "status": "success",
        "timestamp_utc": timestamp(utc),
        "user_info": user,
        "server_status": server,
        "request_context": {
            "code_length": len(job.code),
            "attachment_count": len(job.attachments),
            "stdin_provided": job.stdin is not None,
            "processed_attachments": [
                {"filename": item.filename, "size_bytes": len(item.content)} for item in job.attachments
            ],
        },
        "execution_details": _execution_details(outcome),
    }
    return _with_files(document, outcome)


def _with_files(document: Dict[str, Any], outcome: Outcome) -> List[Part]:
    """Return a document, of which `execution_details` is the last part, with the files in it."""
    head = dumps(document)
    assert head.endswith(b"}}")
    parts: List[Part] = [head[:-2], b', "output_files": {']
    for place, file in enumerate(outcome.files):
        parts.append((b", " if place else b"") + dumps(file.name) + b": ")
        parts += _output_file(file)
    parts.append(b"}}}")
    return parts


def _output_file(file: OutputFile) -> List[Part]:
    content = file.content
    if content is not None:
        text: Part = Encoded(content) if len(content) > _LAZY else binascii.b2a_base64(content, newline=False)
        return [b'{"content_base64": "', text, b'", "size_bytes": %d}' % len(content)]
    entry: Dict[str, Any] = {"error": file.error}
    if file.size_bytes is not None:
        entry["size_bytes"] = file.size_bytes
    return [dumps(entry)]


def render_error(
    error: PyexecError,
    utc: datetime,
    user: Optional[Dict[str, Any]] = None,
    server: Optional[Dict[str, Any]] = None,
    outcome: Optional[Outcome] = None,
) -> List[Part]:
    """Return the body of an error in parts; `outcome` adds what the run had printed and written so far."""
    document: Dict[str, Any] = {
        "status": "error",
        "timestamp_utc": timestamp(utc),
        "error_details": dict({"type": error.type, "message": error.message}, **error.fields()),
    }
    if user is not None:
        document["user_info"] = user
    if server is not None:
        document["server_status"] = server
    if outcome is None:
        return [dumps(document)]
    return _with_files(dict(document, execution_details=_execution_details(outcome)), outcome)
