"""The error types of the HTTP contract, one class each, and the failures that never reach a caller as such."""

from __future__ import annotations

from typing import Any, TypeVar

from pyexec import units

_Error = TypeVar("_Error", bound=BaseException)


class PyexecError(Exception):
    """Base of every error that a caller can receive; raise a subclass, never this.

    Attributes:
        type: the contract's name. status: the HTTP status. limit_name: the limit that was met, for the metrics.
        fault_id: of a fault of ours, the id under which the log has it.
    """

    type = ""
    status = 0
    limit_name = ""
    fault_id = ""

    @property
    def message(self) -> str:
        """The sentence for the caller."""
        return str(self)

    def fields(self) -> dict[str, Any]:
        """Return the fields of `error_details` beside type and message."""
        return {}

    def header_fields(self) -> list[tuple[str, str]]:
        """Return the header fields that this error's answer carries beside those of all errors."""
        return []


def bare(error: _Error) -> _Error:
    """Return an error that is to be kept without what led to it: the frames there hold all that they worked on."""
    error.__traceback__ = error.__cause__ = error.__context__ = None
    return error


class _TryLater:
    """An error that says when to try again, in the header and, for clients that don't look there, in the body."""

    retry_after_s: int

    def fields(self) -> dict[str, Any]:
        """Return the seconds to wait."""
        return {"retry_after_sec": self.retry_after_s}

    def header_fields(self) -> list[tuple[str, str]]:
        """Return Retry-After."""
        return [("Retry-After", str(self.retry_after_s))]


class ValidationError(PyexecError):
    """The request is malformed; `field` names the part, None when it is the body as a whole."""

    type, status = "ValidationError", 400

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field

    def fields(self) -> dict[str, Any]:
        """Return the field's name."""
        return {"field": self.field}


class ForbiddenImportError(PyexecError):
    """The script tried to import modules that public scripts may not use."""

    type, status = "ForbiddenImportError", 400

    def __init__(self, modules: tuple[str, ...], allowed: tuple[str, ...] = (), advice: str = "") -> None:
        names = ", ".join(f"'{name}'" for name in modules)
        super().__init__(f"Import of {names} is not allowed. {advice}".rstrip())
        self.modules, self.allowed = modules, allowed

    def fields(self) -> dict[str, Any]:
        """Return the modules' names, and the names of those that the script may import."""
        return {"modules": list(self.modules), "allowed": list(self.allowed)}


class RunTimeoutError(PyexecError):
    """The run took longer than its wall-clock time."""

    type, status, limit_name = "TimeoutError", 400, "time"

    def __init__(self, wall_s: float) -> None:
        super().__init__(f"Execution exceeded the time limit of {units.seconds(wall_s)}.")


class ResourceLimitError(PyexecError):
    """The run used more of a resource than a run may.

    `limit` is in bytes for memory, disk and output, in seconds for cpu, else a count. A run that was ended within its
    limit, since the disk that it shares with others is nearly full, is told how much it had taken: `crowding_bytes`.
    """

    type, status = "ResourceLimitError", 400

    def __init__(self, resource: str, limit: int, crowding_bytes: int = 0) -> None:
        text = f"Execution exceeded its limit of {_amount(resource, limit)}."
        if crowding_bytes:
            text = "The server's disk is nearly full, and no other run had taken as much of it as this one: "
            text += f"{crowding_bytes / (1 << 20):.1f} MiB."
        super().__init__(text)
        self.resource, self.limit, self.limit_name = resource, limit, resource

    def fields(self) -> dict[str, Any]:
        """Return which limit."""
        return {"resource": self.resource, "limit": self.limit}


def _amount(resource: str, limit: int) -> str:
    if resource == "cpu":
        return f"{units.seconds(limit)} of processor time"
    if resource in ("memory", "disk", "output"):
        return f"{units.size(limit)} of {resource}"
    if resource == "processes":
        return units.count(limit, "process", "processes")
    return units.count(limit, resource[:-1])  # "threads", "files"


class AuthenticationError(PyexecError):
    """The admin key is wrong, or none is configured."""

    type, status = "AuthenticationError", 401

    def header_fields(self) -> list[tuple[str, str]]:
        """Return how to send the key."""
        return [("WWW-Authenticate", 'Bearer realm="pyexec"')]


class Forbidden(PyexecError):
    """A page from another origin may not use this."""

    type, status = "Forbidden", 403


class NotFound(PyexecError):
    """There is nothing at this path."""

    type, status = "NotFound", 404


class MethodNotAllowed(PyexecError):
    """The path doesn't take this method; `allow` lists those that it takes."""

    type, status = "MethodNotAllowed", 405

    def __init__(self, method: str, allow: tuple[str, ...]) -> None:
        super().__init__(f"{method} is not allowed here; use {' or '.join(allow)}.")
        self.allow = allow

    def header_fields(self) -> list[tuple[str, str]]:
        """Return the methods that are allowed."""
        return [("Allow", ", ".join(self.allow))]


class RequestTimeout(PyexecError):
    """The request didn't arrive in time."""

    type, status = "RequestTimeout", 408


class LengthRequired(PyexecError):
    """The body has neither a Content-Length nor chunks."""

    type, status = "LengthRequired", 411


class PayloadTooLarge(PyexecError):
    """The body is larger than the server accepts."""

    type, status, limit_name = "PayloadTooLarge", 413, "body"


class UnsupportedMediaType(PyexecError):
    """The body isn't declared as JSON in UTF-8, or is compressed.

    `of_coding` is true in the second case.
    """

    type, status = "UnsupportedMediaType", 415

    def __init__(self, message: str, of_coding: bool = False) -> None:
        super().__init__(message)
        self.of_coding = of_coding

    def header_fields(self) -> list[tuple[str, str]]:
        """Return which coding is accepted, where the coding was at fault (RFC 9110, 15.5.16)."""
        return [("Accept-Encoding", "identity")] if self.of_coding else []


class MisdirectedRequest(PyexecError):
    """The request's Host is not one that this server answers to."""

    type, status = "MisdirectedRequest", 421


class RateLimitExceeded(_TryLater, PyexecError):
    """The caller has used up the requests of this minute or day."""

    type, status = "RateLimitExceeded", 429

    def __init__(self, message: str, retry_after_s: int, limit_name: str = "minute") -> None:
        super().__init__(message)
        self.retry_after_s, self.limit_name = retry_after_s, limit_name


class HeadersTooLarge(PyexecError):
    """The request line or the header fields are larger than the server accepts."""

    type, status, limit_name = "HeadersTooLarge", 431, "head"


class NotImplementedHere(PyexecError):
    """The body uses a transfer coding that this server doesn't support.

    Named otherwise than its type, which is a name of Python's own.
    """

    type, status = "NotImplemented", 501


class ServerBusy(_TryLater, PyexecError):
    """No slot, connection or buffer is free, or the disk that runs share is nearly full."""

    type, status = "ServerBusy", 503

    def __init__(self, message: str, retry_after_s: int = 1, limit_name: str = "runs") -> None:
        super().__init__(message)
        self.retry_after_s, self.limit_name = retry_after_s, limit_name


class VersionNotSupported(PyexecError):
    """The request uses a version of HTTP other than 1."""

    type, status = "VersionNotSupported", 505


class InternalServerError(PyexecError):
    """A fault of the server; the caller gets an id, and only the log has the reason."""

    type, status = "InternalServerError", 500

    def __init__(self, reason: str, fault_id: str) -> None:
        super().__init__(f"An internal error occurred. Its id is {fault_id}.")
        self.reason, self.fault_id = reason, fault_id

    def fields(self) -> dict[str, Any]:
        """Return the id that stands in the log."""
        return {"id": self.fault_id}


class LayerError(Exception):
    """A confinement layer could not be put on, so no user code ran."""

    def __init__(self, layer: str, reason: str) -> None:
        super().__init__(f"layer {layer}: {reason}")
        self.layer, self.reason = layer, reason


class SandboxError(Exception):
    """The sandbox could not start or run something; the message is for the operator."""


class ConfigError(Exception):
    """A setting is unknown, empty or malformed; the message names it and says what to write."""
