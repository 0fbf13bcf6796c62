"""The OpenAPI 3.1 description of a server, made from the settings and error classes that the server itself uses."""

from __future__ import annotations

import inspect
from typing import Any, Dict, List, Type

from pyexec import __version__, errors
from pyexec.config import Config
from pyexec.contract import FIELDS
from pyexec.errors import PyexecError

Schema = Dict[str, Any]

_STRING: Schema = {"type": "string"}
_INTEGER: Schema = {"type": "integer", "minimum": 0}
_BOOLEAN: Schema = {"type": "boolean"}


def _object(properties: Schema, optional: str = "") -> Schema:
    required = [name for name in properties if name not in optional.split()]
    return {"type": "object", "properties": properties, "required": required}


def _optional(schema: Schema) -> Schema:
    return dict(schema, type=[schema["type"], "null"])


def leaves() -> List[Type[PyexecError]]:
    """Return every error class with a wire type, by status."""
    found = [item for _, item in inspect.getmembers(errors, inspect.isclass)]
    kinds = [item for item in found if issubclass(item, PyexecError) and item.type]
    return sorted(kinds, key=lambda kind: (kind.status, kind.type))


def _request(config: Config) -> Schema:
    name = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^[^/\\\u0000-\u001f\u007f-\u009f]+$"}
    content = {"type": "string", "contentEncoding": "base64"}
    attachment = dict(_object({"filename": name, "content_base_64": content}), additionalProperties=False)
    fields = {
        "code": {"type": "string", "minLength": 1, "maxLength": config.code_chars, "description": "the script"},
        "api_key": _optional(dict(_STRING, description="the admin key; or send Authorization: Bearer")),
        "stdin_data": _optional(dict(_STRING, description="standard input, at most %d bytes" % config.stdin_bytes)),
        "attachments": _optional(
            {
                "type": "array",
                "maxItems": config.attachments,
                "items": attachment,
                "description": "at most %d bytes each" % config.attachment_bytes,
            }
        ),
        "return_files": _optional(
            {
                "type": "array",
                "maxItems": config.return_files,
                "items": {"type": "string", "minLength": 1, "maxLength": 4095, "pattern": r"^[^/\u0000][^\u0000]*$"},
                "description": "relative paths without '..'; at most %d bytes each are returned"
                % config.budget.returned_file_bytes,
            }
        ),
    }
    assert tuple(fields) == FIELDS
    return {"type": "object", "properties": fields, "required": ["code"], "additionalProperties": False}


def _schemas(config: Config) -> Schema:
    caller = _object(
        {
            "ip_address": _STRING,
            "daily_quota_limit": _INTEGER,
            "requests_today": _INTEGER,
            "requests_remaining_today": _INTEGER,
        }
    )
    admin = _object({"role": {"const": "admin"}, "rate_limits_applied": {"const": False}})
    file = {
        "oneOf": [
            _object({"content_base64": {"type": "string", "contentEncoding": "base64"}, "size_bytes": _INTEGER}),
            _object({"error": _STRING, "size_bytes": _INTEGER}, optional="size_bytes"),
        ]
    }
    details = _object(
        {
            "success": _BOOLEAN,
            "stdout": _STRING,
            "stderr": _STRING,
            "exit_code": {"type": "integer"},
            "execution_duration_sec": {"type": "number", "minimum": 0},
            "stdout_truncated": _BOOLEAN,
            "stderr_truncated": _BOOLEAN,
            "output_files": {"type": "object", "additionalProperties": file},
        }
    )
    status = _object(
        {
            "load": {"enum": ["normal", "high"]},
            "active_processes_at_request": _INTEGER,
            "max_concurrent_processes": _INTEGER,
        }
    )
    context = _object(
        {
            "code_length": _INTEGER,
            "attachment_count": _INTEGER,
            "stdin_provided": _BOOLEAN,
            "processed_attachments": {"type": "array", "items": _object({"filename": _STRING, "size_bytes": _INTEGER})},
        }
    )
    moment = {"type": "string", "format": "date-time"}
    user = {"oneOf": [caller, admin]}
    problem = _object(
        {
            "type": {"enum": [kind.type for kind in leaves()]},
            "message": _STRING,
            "field": {"type": ["string", "null"]},
            "modules": {"type": "array", "items": _STRING},
            "resource": _STRING,
            "limit": _INTEGER,
            "id": _STRING,
        },
        optional="field modules resource limit id",
    )
    return {
        "Request": _request(config),
        "ExecutionDetails": details,
        "Success": _object(
            {
                "status": {"const": "success"},
                "timestamp_utc": moment,
                "user_info": user,
                "server_status": status,
                "request_context": context,
                "execution_details": {"$ref": "#/components/schemas/ExecutionDetails"},
            }
        ),
        "Error": _object(
            {
                "status": {"const": "error"},
                "timestamp_utc": moment,
                "error_details": problem,
                "user_info": user,
                "server_status": status,
                "execution_details": {"$ref": "#/components/schemas/ExecutionDetails"},
            },
            optional="user_info server_status execution_details",
        ),
    }


_HEADERS = {
    "Retry-After": "seconds until it may be tried again",
    "RateLimit": "what is left of the caller's quotas",
    "RateLimit-Policy": "the caller's quotas",
    "Allow": "methods that this path takes",
    "WWW-Authenticate": "how to send the admin key",
}


def _answer(description: str, schema: Schema, *headers: str, media: str = "application/json") -> Schema:
    answer: Schema = {"description": description, "content": {media: {"schema": schema}}}
    if headers:
        answer["headers"] = {name: {"description": _HEADERS[name], "schema": _STRING} for name in headers}
    return answer


def _errors_of(statuses: set[int]) -> Schema:
    found: Schema = {}
    for status in sorted(statuses):
        kinds = [kind for kind in leaves() if kind.status == status]
        headers = {429: ["Retry-After", "RateLimit", "RateLimit-Policy"], 503: ["Retry-After"], 405: ["Allow"]}
        described = "; ".join("%s: %s" % (kind.type, (kind.__doc__ or "").splitlines()[0]) for kind in kinds)
        names = headers.get(status, ["WWW-Authenticate"] if status == 401 else [])
        found[str(status)] = _answer(described, {"$ref": "#/components/schemas/Error"}, *names)
    return found


def document(config: Config) -> Schema:
    """Return the description of a server with these settings."""
    everywhere = _errors_of({400, 405, 408, 411, 413, 431, 500, 503})
    execute = {
        "operationId": "execute",
        "summary": "Run one script",
        "description": "A script that fails is a 200 with `success` false. At most %g seconds." % config.budget.wall_s,
        "security": [{}, {"adminKey": []}],
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Request"}}},
        },
        "responses": dict(
            {
                "200": _answer(
                    "The script was run", {"$ref": "#/components/schemas/Success"}, "RateLimit", "RateLimit-Policy"
                )
            },
            **_errors_of({kind.status for kind in leaves()}),
        ),
    }
    anything: Schema = {"type": "object"}
    gets = {
        "/": ("page", "The web page", "text/html", _STRING),
        "/about": ("about", "Limits, modules and layers of this server", "application/json", anything),
        "/health": ("health", "Whether a run could be started now", "application/json", anything),
        "/metrics": ("metrics", "Counters for Prometheus", "text/plain", _STRING),
        "/openapi.json": ("openapi", "This description", "application/json", anything),
    }
    paths: Schema = {"/execute": {"post": execute}}
    for path, (name, summary, media, schema) in gets.items():
        responses = dict({"200": _answer(summary, schema, media=media)}, **everywhere)
        if path == "/health":
            responses["503"] = _answer("No run can be started", anything)
        paths[path] = {"get": {"operationId": name, "summary": summary, "responses": responses}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "pyexec",
            "version": __version__,
            "description": "Runs untrusted Python, each script alone in a confined throw-away process.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": _schemas(config),
            "securitySchemes": {"adminKey": {"type": "http", "scheme": "bearer"}},
        },
    }
