"""JSON-RPC 2.0 as far as the Model Context Protocol uses it: bytes to messages, and answers to bytes. Pure.

Source: https://www.jsonrpc.org/specification, and the protocol's own rules: an `id` is a string or an integer.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any, Mapping, Union

from pyexec.api import request_json, response
from pyexec.api.request_json import Number
from pyexec.errors import ValidationError
from pyexec.http1.answer import Encoded, Part

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS = -32700, -32600, -32601, -32602
HEADER_MISMATCH, UNSUPPORTED_VERSION = -32020, -32022  # the protocol's own
_LONGEST_ID = 1000  # characters of a string, and more digits than any integer of a client has

Id = Union[str, int, None]


class RpcError(Exception):
    """An error of the protocol, which is the client's business; the mistakes of a model are results of the tool.

    Attributes:
        id: of the request that is refused, None where it isn't known.
    """

    def __init__(self, code: int, message: str, data: Any = None, id: Id = None) -> None:
        super().__init__(message)
        self.code, self.message, self.data, self.id = code, message, data, id


@dataclass(frozen=True)
class Message:
    """A request, or a notification, whose `id` is None."""

    method: str
    params: Mapping[str, Any]
    id: Id

    @property
    def meta(self) -> Mapping[str, Any]:
        """What the client says about the request itself, empty if it says nothing."""
        found = self.params.get("_meta")
        return found if isinstance(found, dict) else {}


def load(body: bytes) -> Any:
    """Return what a body holds: a message, or a list of them. Raises RpcError: it isn't JSON."""
    try:
        return request_json.load_any(body)
    except ValidationError as error:
        raise RpcError(PARSE_ERROR, str(error)) from None


def message_of(value: Any) -> Message:
    """Return the request or notification in a parsed body. Raises RpcError."""
    if not isinstance(value, dict):
        raise RpcError(INVALID_REQUEST, "Send one JSON-RPC request or notification, as an object.")
    id = id_of(value["id"]) if "id" in value else None
    method = value.get("method")
    if value.get("jsonrpc") != "2.0":
        raise RpcError(INVALID_REQUEST, "'jsonrpc' must be \"2.0\".", id=id)
    if not isinstance(method, str):
        what = "Responses are not expected here." if "result" in value or "error" in value else "'method' is missing."
        raise RpcError(INVALID_REQUEST, what, id=id)
    params = value.get("params", {})
    if not isinstance(params, dict):
        raise RpcError(INVALID_PARAMS, "'params' must be an object.", id=id)
    return Message(method, params, id)


def id_of(id: Any) -> Id:
    """Return the id that a message has. Raises RpcError: it isn't one."""
    if isinstance(id, str) and len(id) <= _LONGEST_ID and request_json.is_text(id):
        return id
    if isinstance(id, Number) and id.is_integer and len(id.text) <= _LONGEST_ID:
        return int(id.text)
    raise RpcError(INVALID_REQUEST, f"'id' must be a string or an integer, of at most {_LONGEST_ID} characters.")


def error_of(error: RpcError) -> dict[str, Any]:
    """Return the answer to a request that was refused."""
    details: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.data is not None:
        details["data"] = error.data
    return {"jsonrpc": "2.0", "id": error.id, "error": details}


def result_of(id: Id, result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answer to the request of an id, which was carried out."""
    return {"jsonrpc": "2.0", "id": id, "result": result}


class Blob:
    """A content that stands as Base64 in an answer, encoded when it is written."""

    def __init__(self, content: bytes) -> None:
        """Take the content."""
        self.content = content
        self.mark = secrets.token_hex(16)  # which no script can guess and print


def parts_of(answer: Any, blobs: list[Blob]) -> list[Part]:
    """Return an answer as the parts of its text; each of the blobs, in order, is spliced in for its mark."""
    text = response.dumps(answer)
    parts: list[Part] = []
    for blob in blobs:
        before, _, text = text.partition(blob.mark.encode("ascii"))
        parts += [before, Encoded(blob.content)]
    return [*parts, text]
