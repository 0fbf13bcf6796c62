"""The OpenAPI 3.1 description of a server, made from the settings and error classes that the server itself uses."""

from __future__ import annotations

from typing import Any, Iterable

from pyexec import __version__, units
from pyexec.api.request import FIELDS
from pyexec.api.schemas import STRING, Schema, leaves, limits, ref, schemas
from pyexec.config import SETTINGS, Config

_EVERYWHERE = "Content-Security-Policy Cross-Origin-Opener-Policy Referrer-Policy Server-Timing".split()
_EVERYWHERE += ["X-Content-Type-Options"]
# Of CORS: with every answer, and with those to OPTIONS. None of them without a --cors-origin.
_CORS = ["Access-Control-Allow-Origin", "Access-Control-Expose-Headers"]
_CORS_OF_OPTIONS = ["Access-Control-Allow-Headers", "Access-Control-Allow-Methods", "Access-Control-Max-Age"]
_QUOTA = ["RateLimit", "RateLimit-Policy"]
# No quota for admins, nor where the caller isn't known yet.
_NOT_ALWAYS = {"Accept-Encoding", "Content-Encoding", "Server-Timing", *_QUOTA}
_HEADERS_OF_STATUS = {
    401: ["WWW-Authenticate"],
    405: ["Allow"],
    415: ["Accept-Encoding"],
    429: ["Retry-After"],
    503: ["Retry-After"],
}
# What can go wrong with any request, before its path or body is looked at.
_ANYWHERE = {400, 405, 408, 411, 413, 415, 421, 431, 500, 501, 503, 505}
# For pages of other origins that use MCP.
_NOT_OF_EXECUTE = {403}


def _headers(config: Config) -> Schema:
    seconds = {"type": "integer", "minimum": 1}
    described: dict[str, Any] = {
        "Accept-Encoding": ("the coding of bodies that is accepted, if another was sent", {"const": "identity"}),
        "Access-Control-Allow-Origin": ("the origin whose pages may read this", {"const": config.cors_origin}),
        "Access-Control-Allow-Methods": ("methods that this path allows", STRING),
        "Access-Control-Allow-Headers": ("header fields that a browser may send", STRING),
        "Access-Control-Expose-Headers": ("header fields that a script of another origin may read", STRING),
        "Access-Control-Max-Age": ("seconds for which this may be cached", seconds),
        "Allow": ("methods that this path allows", STRING),
        "Cache-Control": ("no-store, or no-cache where there is an ETag to revalidate with", STRING),
        "Content-Encoding": ("if the request accepts gzip", {"const": "gzip"}),
        "Content-Security-Policy": ("what a browser may load", STRING),
        "Cross-Origin-Opener-Policy": ("keeps other sites' windows apart from this one", {"const": "same-origin"}),
        "ETag": ("for If-None-Match", dict(STRING, pattern='^"[0-9a-f]+"$')),
        "RateLimit": ("what is left of the caller's minute (r) and day, and the seconds until it is full (t)", STRING),
        "RateLimit-Policy": (
            "the caller's quotas, draft-ietf-httpapi-ratelimit-headers",
            {"const": f'"minute";q={config.rate_per_minute};w=60, "day";q={config.rate_per_day};w=86400'},
        ),
        "Referrer-Policy": ("links don't reveal where they were followed from", {"const": "no-referrer"}),
        "Retry-After": ("seconds to wait before trying again", seconds),
        "Server-Timing": ("where the time went, if this server is set to report it", STRING),
        "Vary": ("what else the answer depends on", STRING),
        "WWW-Authenticate": ("how to send the admin key", STRING),
        "X-Content-Type-Options": ("browsers must not guess the type", {"const": "nosniff"}),
    }
    return {
        name: {"description": text, "schema": schema, "required": name not in _NOT_ALWAYS}
        for name, (text, schema) in described.items()
    }


def _answer(text: str, schema: Schema | None, headers: Iterable[str] = (), media: str = "application/json") -> Schema:
    names = sorted({*_EVERYWHERE, *_CORS, *headers})
    answer: Schema = {
        "description": text,
        "headers": {name: {"$ref": "#/components/headers/" + name} for name in names},
    }
    if schema is not None:
        answer["content"] = {media: {"schema": schema}}
    return answer


def _errors(statuses: Iterable[int], kinds_of_400: str, quota: Iterable[str] = ()) -> Schema:
    found: Schema = {}
    for status in sorted(statuses):
        kinds = [
            kind for kind in leaves() if kind.status == status and (status != 400 or kind.type in kinds_of_400.split())
        ]
        text = "; ".join(f"{kind.type}: {(kind.__doc__ or '').splitlines()[0]}" for kind in kinds)
        refs: list[Schema] = [ref(kind.type) for kind in kinds]
        headers = _HEADERS_OF_STATUS.get(status, []) + ["Cache-Control"] + list(quota)
        found[str(status)] = _answer(text, refs[0] if len(refs) == 1 else {"oneOf": refs}, headers)
    return found


def _execute(config: Config) -> Schema:
    helps = {setting.name: setting.help for setting in SETTINGS}
    lines = [f"- `{name}`: {helps[name]}, {value}" for name, value in limits(config).items()]
    text = "\n".join(
        ["A script that fails is a 200 with `success` false.", "", "Limits of this server:", "", *lines, ""]
        + [f"Public scripts may import: {', '.join(f'`{name}`' for name in config.modules)}."]
    )
    body_bytes = f"at most {units.size(config.body_bytes)}; no key twice in an object"
    kinds = " ".join(kind.type for kind in leaves() if kind.status == 400)
    return {
        "operationId": "execute",
        "summary": "Run one script",
        "description": text,
        "security": [{}, {"adminKey": []}],
        "requestBody": {
            "required": True,
            "description": body_bytes,
            "content": {"application/json": {"schema": ref("Request")}},
        },
        "responses": dict(
            {"200": _answer("The script was run", ref("Success"), _QUOTA)},
            **_errors({kind.status for kind in leaves()} - _NOT_OF_EXECUTE, kinds, _QUOTA),
        ),
    }


def _gets(config: Config) -> Schema:
    """Return the paths that are only read."""
    json = "application/json"
    # name, summary, media type, schema, whether it has an ETag
    gets = {
        "/": ("page", "The web page", "text/html", STRING, True),
        "/about": ("about", "Limits, modules and layers of this server", json, ref("About"), True),
        "/health": ("health", "Whether a run could be started now", json, ref("Health"), False),
        "/metrics": ("metrics", "Counters for Prometheus", "text/plain", STRING, False),
        "/openapi.json": (
            "openapi",
            "This description",
            json,
            {"type": "object", "properties": {"openapi": STRING}, "required": ["openapi"]},
            True,
        ),
    }
    if config.metrics_port is not None:
        del gets["/metrics"]
    paths: Schema = {}
    for path, (name, summary, media, schema, tagged) in gets.items():
        headers = ["Cache-Control", "ETag"] if tagged else ["Cache-Control"]
        headers += ["Content-Encoding", "Vary"] if path == "/" else []
        good: Schema = {"200": _answer(summary, schema, headers, media)}
        if tagged:
            good["304"] = _answer("Unchanged since the ETag in If-None-Match", None, headers)
        bad = _errors(_ANYWHERE, "ValidationError")
        if path == "/health":
            unready = _answer("No run can be started, or ServerBusy", None, ["Cache-Control"])
            unready["content"] = {json: {"schema": {"oneOf": [ref("Health"), ref("ServerBusy")]}}}
            bad["503"] = unready
            draining = _answer("The server was told to end, and takes no new callers", None, ["Cache-Control"])
            bad["404"] = dict(draining, content={json: {"schema": ref("Health")}})
        get: Schema = {"operationId": name, "summary": summary, "responses": dict(good, **bad)}
        if tagged:
            get["parameters"] = [{"name": "If-None-Match", "in": "header", "schema": STRING}]
        without_body = {
            status: {key: value for key, value in answer.items() if key != "content"}
            for status, answer in get["responses"].items()
        }
        head = dict(get, operationId=name + "Head", summary=summary + ", header only", responses=without_body)
        paths[path] = {"get": get, "head": head}
    return paths


def _preflight(path: str) -> Schema:
    return {
        "operationId": "options" + path.strip("/").split(".")[0].title(),
        "summary": "Which methods this path allows; browsers ask this before a request to another origin",
        "responses": dict(
            {"204": _answer("Allowed methods", None, [*_CORS_OF_OPTIONS, "Allow"])},
            **_errors(_ANYWHERE, "ValidationError"),
        ),
    }


def _take_out(names: Iterable[str], headers: Schema, paths: Schema) -> None:
    answers = [answer for item in paths.values() for method in item.values() for answer in method["responses"].values()]
    for described in [headers] + [answer["headers"] for answer in answers]:
        for name in names:
            described.pop(name, None)


def document(config: Config) -> Schema:
    """Return the description of a server with these settings."""
    components = {
        "schemas": schemas(config),
        "headers": _headers(config),
        "securitySchemes": {"adminKey": {"type": "http", "scheme": "bearer"}},
    }
    assert tuple(components["schemas"]["Request"]["properties"]) == FIELDS
    paths = dict({"/execute": {"post": _execute(config)}}, **_gets(config))
    for path, item in paths.items():
        item["options"] = _preflight(path)
    if config.cors_origin is None:
        _take_out(_CORS + _CORS_OF_OPTIONS, components["headers"], paths)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "pyexec",
            "version": __version__,
            "description": "Runs untrusted Python, each script alone in a confined throw-away process. Every path that"
            " isn't here is a 404 `NotFound`, in the same form as every other error.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": components,
    }
