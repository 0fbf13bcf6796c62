"""Messages of the Model Context Protocol, written by hand, in both of its eras."""

from __future__ import annotations

import json
from typing import Any, Dict, List, Optional, Sequence, Tuple

from support import Reply, ask, request

MODERN = "2026-07-28"
LEGACY = "2025-11-25"
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
Fields = List[Tuple[str, str]]


def legacy(method: str, params: Any = None, id: Any = 1) -> Dict[str, Any]:
    """Return a message as the older revisions have it; without params if there are none."""
    message = {"jsonrpc": "2.0", "id": id, "method": method}
    return message if params is None else dict(message, params=params)


def modern(method: str, params: Optional[Dict[str, Any]] = None, id: Any = 1) -> Dict[str, Any]:
    """Return a message as 2026-07-28 has it."""
    return legacy(method, dict(params or {}, _meta=META), id)


def call(code: str = "print(6 * 7)", **arguments: Any) -> Dict[str, Any]:
    """Return the parameters of a call of the tool."""
    return {"name": "execute_python", "arguments": dict({"code": code}, **arguments)}


def header(message: Dict[str, Any], version: Optional[str] = MODERN) -> Fields:
    """Return the header fields that go with a modern message."""
    fields = [("Mcp-Method", message["method"])] + ([("MCP-Protocol-Version", version)] if version else [])
    name = message.get("params", {}).get("name")
    return fields + ([("Mcp-Name", name)] if name is not None else [])


def raw(message: Any, fields: Sequence[Tuple[str, str]] = ()) -> bytes:
    """Return the bytes of a POST to /mcp; a message that is bytes is sent as it is."""
    body = message if isinstance(message, bytes) else json.dumps(message).encode("utf-8")
    accept = ("Accept", "application/json, text/event-stream")
    return request("POST", "/mcp", body, [("Content-Type", "application/json"), accept, *fields])


def post(port: int, message: Any, *fields: Tuple[str, str]) -> Reply:
    """Send a message with these header fields only."""
    return ask(port, raw(message, fields), "POST")


def ask_modern(port: int, method: str, params: Optional[Dict[str, Any]] = None, *fields: Tuple[str, str]) -> Reply:
    """Send a request of 2026-07-28, as it should be."""
    message = modern(method, params)
    return post(port, message, *header(message), *fields)


def ask_legacy(port: int, method: str, params: Any = None, *fields: Tuple[str, str]) -> Reply:
    """Send a request of 2025-11-25, as it should be."""
    return post(port, legacy(method, params), ("MCP-Protocol-Version", LEGACY), *fields)


def texts(result: Dict[str, Any]) -> List[str]:
    """Return the texts in a result of the tool."""
    return [block["text"] for block in result["content"] if block["type"] == "text"]
