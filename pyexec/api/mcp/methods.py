"""The methods of the protocol, but for the call of the tool itself, which runs something. Pure."""

from __future__ import annotations

from typing import Any, Mapping

from pyexec import __version__
from pyexec.api.mcp import revisions, tool
from pyexec.api.mcp.jsonrpc import INVALID_PARAMS, METHOD_NOT_FOUND, Message, RpcError
from pyexec.api.request_json import shown

CALL = "tools/call"
SERVER = {"name": "pyexec", "title": "pyexec", "version": __version__}
_INSTRUCTIONS = (
    f"{tool.NAME} runs a Python script in a confined process that is thrown away afterwards. Its description says what"
    " a script may use, and how files come back."
)
_CAPABILITIES: dict[str, Any] = {"tools": {}}
_TTL_MS = 300_000  # nothing of it changes while a server runs, but the next one may have other settings


def answer(message: Message, version: str, server: tool.Server) -> dict[str, Any]:
    """Return the result of any method but `tools/call`.

    Args:
        version: the revision to serve it by. server: what the tool's description says of this server.

    Raises:
        RpcError: there is no such method, or its parameters are wrong.
    """
    modern = revisions.is_modern(version)
    methods = {"server/discover": _discover} if modern else {"initialize": _initialize, "ping": _ping}
    method = dict(methods, **{"tools/list": _list}).get(message.method)
    if method is None:
        raise RpcError(METHOD_NOT_FOUND, f"There is no method '{shown(message.method)}'.", id=message.id)
    return shaped(method(message, server), version, cached=message.method in ("server/discover", "tools/list"))


def brief(message: Message) -> Message:
    """Return a message with no more than `answer` looks at, since those before it in its batch may run for long."""
    asked, cursor = message.params.get("protocolVersion"), message.params.get("cursor")
    params = {
        "protocolVersion": shown(asked) if isinstance(asked, str) else None,
        "cursor": None if cursor is None else "",
    }
    return Message(shown(message.method), params, message.id)


def shaped(result: Mapping[str, Any], version: str, cached: bool = False) -> dict[str, Any]:
    """Return a result as its revision wants it."""
    if not revisions.is_modern(version):
        return dict(result)
    modern = {"resultType": "complete", **result, "_meta": {"io.modelcontextprotocol/serverInfo": SERVER}}
    # What the description says depends on the key that came with the request.
    return {**modern, "ttlMs": _TTL_MS, "cacheScope": "private"} if cached else modern


def arguments_of_call(message: Message) -> Mapping[str, Any]:
    """Return the arguments of `tools/call`. Raises RpcError: it is malformed, or for another tool."""
    name, arguments = message.params.get("name"), message.params.get("arguments")
    if not isinstance(name, str):
        raise RpcError(INVALID_PARAMS, "'name' must be a string.", id=message.id)
    if name != tool.NAME:
        raise RpcError(INVALID_PARAMS, f"There is no tool '{shown(name)}'; there is {tool.NAME}.", id=message.id)
    if arguments is not None and not isinstance(arguments, dict):
        raise RpcError(INVALID_PARAMS, "'arguments' must be an object.", id=message.id)
    return arguments or {}


def _discover(message: Message, server: tool.Server) -> dict[str, Any]:
    return {
        "supportedVersions": list(revisions.ALL),
        "capabilities": _CAPABILITIES,
        "instructions": _INSTRUCTIONS,
    }


def _initialize(message: Message, server: tool.Server) -> dict[str, Any]:
    if not isinstance(message.params.get("protocolVersion"), str):
        raise RpcError(INVALID_PARAMS, "'protocolVersion' must be a string.", id=message.id)
    return {
        "protocolVersion": revisions.negotiated(message.params["protocolVersion"]),
        "capabilities": _CAPABILITIES,
        "serverInfo": SERVER,
        "instructions": _INSTRUCTIONS,
    }


def _ping(message: Message, server: tool.Server) -> dict[str, Any]:
    return {}


def _list(message: Message, server: tool.Server) -> dict[str, Any]:
    if message.params.get("cursor") is not None:  # there is one page, so none was ever given out
        raise RpcError(INVALID_PARAMS, "There is no page at this 'cursor'.", id=message.id)
    return {"tools": [tool.definition(server)]}
