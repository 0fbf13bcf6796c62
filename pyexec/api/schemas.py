"""The JSON Schemas of requests and answers, made from the settings; `openapi` says where each is used. Pure.

Every rule of `request` that JSON Schema can express is expressed here, and a test holds the two against each other.
What it can't express (lengths in UTF-8 bytes, no name twice) is in the descriptions.
"""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any, Dict

from pyexec import errors, units
from pyexec.api.request_json import CONTENT_FIELDS
from pyexec.config import SETTINGS, Config
from pyexec.errors import PyexecError
from pyexec.job import SCRIPT_NAME, Budget

Schema = Dict[str, Any]

# The settings that GET /about, and so the web page, shows.
PUBLIC_LIMITS = tuple(
    "code_chars attachments attachment_bytes stdin_bytes return_files rate_per_minute rate_per_day max_runs".split()
) + tuple(item.name for item in dataclasses.fields(Budget))

STRING: Schema = {"type": "string"}
_INTEGER: Schema = {"type": "integer", "minimum": 0}
_SECONDS: Schema = {"type": "integer", "minimum": 1, "description": "as Retry-After"}
_NUMBER: Schema = {"type": "number", "minimum": 0}
_BOOLEAN: Schema = {"type": "boolean"}
_NO_NUL = "^[^\\u0000]*$"
_BASE64 = "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
# As requests may have it: with white space, and with the beginning of a data URL.
_BASE64_OF_REQUESTS = (  # noqa: UP031 - the braces are the pattern's own
    "^%(w)s(?:[Dd][Aa][Tt][Aa]:[\\x20-\\x2b\\x2d-\\x7e]{0,1000};[Bb][Aa][Ss][Ee]64,%(w)s)?"
    "(?:(?:%(c)s%(w)s){4})*(?:(?:%(c)s%(w)s){2}=%(w)s=%(w)s|(?:%(c)s%(w)s){3}=%(w)s)?$"
) % {"w": "[\\t\\n\\f\\r ]*", "c": "[A-Za-z0-9+/]"}
_PLAIN_NAME = "^[^/\\\\\\u0000-\\u001f\\u007f-\\u009f]+$"
_RELATIVE_PATH = "^(?!/)(?!(?:[\\s\\S]*/)?\\.\\.(?:/|$))[^\\u0000]+$"

_RUN_SO_FAR = ("TimeoutError", "ResourceLimitError")
_EXTRA_FIELDS: dict[str, Schema] = {
    "ValidationError": {"field": {"type": ["string", "null"], "description": "null if it is the body as a whole"}},
    "ForbiddenImportError": {"modules": {"type": "array", "items": STRING, "minItems": 1}},
    "ResourceLimitError": {"resource": STRING, "limit": _INTEGER},
    "RateLimitExceeded": {"retry_after_sec": _SECONDS},
    "ServerBusy": {"retry_after_sec": _SECONDS},
    "InternalServerError": {"id": dict(STRING, description="under which the server's log has the details")},
}


def ref(name: str) -> Schema:
    """Return a reference to one of these schemas."""
    return {"$ref": "#/components/schemas/" + name}


def leaves() -> list[type[PyexecError]]:
    """Return every error class with a wire type, by status."""
    found = [item for _, item in inspect.getmembers(errors, inspect.isclass)]
    kinds = [item for item in found if issubclass(item, PyexecError) and item.type]
    return sorted(kinds, key=lambda kind: (kind.status, kind.type))


def limits(config: Config) -> dict[str, Any]:
    """Return the settings that a caller should know, as they are."""
    return {name: getattr(config if hasattr(config, name) else config.budget, name) for name in PUBLIC_LIMITS}


def _object(properties: Schema, optional: str = "") -> Schema:
    required = [name for name in properties if name not in optional.split()]
    return {"type": "object", "properties": properties, "required": required}


def _optional(schema: Schema) -> Schema:
    return dict(schema, type=[schema["type"], "null"])


def _array(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def request(config: Config) -> Schema:
    """Return the schema of the body of POST /execute."""
    content = {
        "type": ["string", "null"],
        "contentEncoding": "base64",
        "pattern": _BASE64_OF_REQUESTS,
        "description": f"at most {units.size(config.attachment_bytes)} after decoding",
    }
    attachment = _object(
        {
            "filename": {
                "type": "string",
                "minLength": 1,
                "maxLength": 255,
                "pattern": _PLAIN_NAME,
                "not": {"enum": [".", "..", SCRIPT_NAME]},
                "description": "at most 255 bytes in UTF-8; no two are the same",
            },
            **{name: dict(content) for name in CONTENT_FIELDS},
        },
        optional=" ".join(CONTENT_FIELDS),
    )
    attachment["oneOf"] = [{"required": [name], "properties": {name: STRING}} for name in CONTENT_FIELDS]
    path = {
        "type": "string",
        "minLength": 1,
        "maxLength": 4095,
        "pattern": _RELATIVE_PATH,
        "description": "relative to the script's directory; at most 4095 bytes in UTF-8",
    }
    code = {"type": "string", "minLength": 1, "maxLength": config.code_chars, "pattern": _NO_NUL}
    stdin = {"type": "string", "maxLength": config.stdin_bytes, "pattern": _NO_NUL}
    files = dict(_array(dict(attachment, additionalProperties=False)), maxItems=config.attachments, uniqueItems=True)
    returned = dict(_array(path), maxItems=config.return_files)
    fields = {
        "code": dict(code, description="the script"),
        "api_key": _optional(dict(STRING, pattern=_NO_NUL, description="the admin key; or Authorization: Bearer KEY")),
        "stdin_data": _optional(dict(stdin, description=f"at most {units.size(config.stdin_bytes)} in UTF-8")),
        "attachments": _optional(dict(files, description="files for the script's directory")),
        "return_files": _optional(
            dict(returned, description=f"at most {units.size(config.budget.returned_file_bytes)} each are returned")
        ),
    }
    return {"type": "object", "properties": fields, "required": ["code"], "additionalProperties": False}


def _parts(config: Config) -> dict[str, Schema]:
    caller = {
        "ip_address": STRING,
        "daily_quota_limit": {"const": config.rate_per_day},
        "requests_today": _INTEGER,
        "requests_remaining_today": dict(_INTEGER, maximum=config.rate_per_day),
    }
    admin = _object({"role": {"const": "admin"}, "rate_limits_applied": {"const": False}})
    content = dict(STRING, contentEncoding="base64", pattern=_BASE64)
    size = dict(_INTEGER, maximum=config.budget.returned_file_bytes)
    returned = _object({"content_base64": content, "size_bytes": size})
    lost = _object({"error": STRING, "size_bytes": _INTEGER}, optional="size_bytes")
    output = dict(STRING, description=f"at most {units.size(config.budget.output_bytes)}, then truncated")
    details = {
        "success": dict(_BOOLEAN, description="the exit code is 0"),
        "stdout": output,
        "stderr": output,
        "exit_code": {"type": "integer", "description": "negative: the number of the signal that ended it"},
        "execution_duration_sec": _NUMBER,
        "stdout_truncated": _BOOLEAN,
        "stderr_truncated": _BOOLEAN,
        "output_files": {"type": "object", "additionalProperties": {"oneOf": [returned, lost]}},
    }
    status = {
        "load": {"enum": ["normal", "high"]},
        "active_processes_at_request": dict(_INTEGER, maximum=config.max_runs),
        "max_concurrent_processes": {"const": config.max_runs},
    }
    context = {
        "code_length": dict(_INTEGER, minimum=1, maximum=config.code_chars),
        "attachment_count": dict(_INTEGER, maximum=config.attachments),
        "stdin_provided": _BOOLEAN,
        "processed_attachments": _array(_object({"filename": STRING, "size_bytes": _INTEGER})),
    }
    return {
        "UserInfo": {"oneOf": [_object(caller), admin]},
        "ServerStatus": _object(status),
        "RequestContext": _object(context),
        "ExecutionDetails": _object(details),
    }


def _answer(status: str, fields: Schema, optional: str = "") -> Schema:
    moment = {"type": "string", "format": "date-time"}
    return _object(dict({"status": {"const": status}, "timestamp_utc": moment}, **fields), optional)


def _error(kind: type[PyexecError]) -> Schema:
    fields = dict({"type": {"const": kind.type}, "message": STRING}, **_EXTRA_FIELDS.get(kind.type, {}))
    run: Schema = {"execution_details": ref("ExecutionDetails")} if kind.type in _RUN_SO_FAR else {}
    answer = _answer(
        "error",
        dict(
            {"error_details": _object(fields), "user_info": ref("UserInfo"), "server_status": ref("ServerStatus")},
            **run,
        ),
        optional="user_info server_status",
    )
    return dict(answer, description=(kind.__doc__ or "").splitlines()[0])


def _about() -> dict[str, Schema]:
    helps = {setting.name: setting.help for setting in SETTINGS}
    layer = _object({"name": STRING, "on": _BOOLEAN, "detail": STRING})
    named = {"type": "object", "additionalProperties": STRING}
    about = {
        "version": STRING,
        "limits": _object({name: dict(_NUMBER, description=helps[name]) for name in PUBLIC_LIMITS}),
        "modules": _array(STRING),
        "layers": _array(layer),
        "libraries": named,
    }
    health = {
        "status": {"enum": ["ok", "unavailable"]},
        "version": STRING,
        "python": STRING,
        "layers": _array(STRING),
        "dangers": {"type": "object", "additionalProperties": dict(_array(STRING), minItems=1)},
        "libraries": named,
        "missing_libraries": _array(STRING),
        "active_runs": _INTEGER,
        "max_runs": _INTEGER,
        "template_restarts": _INTEGER,
        "uptime_sec": _NUMBER,
    }
    return {"About": _object(about), "Health": _object(health)}


def schemas(config: Config) -> dict[str, Schema]:
    """Return all of them, by name."""
    success = {
        "user_info": ref("UserInfo"),
        "server_status": ref("ServerStatus"),
        "request_context": ref("RequestContext"),
        "execution_details": ref("ExecutionDetails"),
    }
    found = {"Request": request(config), "Success": _answer("success", success)}
    found.update(_parts(config), **_about())
    found.update({kind.type: _error(kind) for kind in leaves()})
    found["Error"] = {"oneOf": [ref(kind.type) for kind in leaves()]}
    return found
