"""The taxonomy: one class per error type of the HTTP contract, and the faults that never leave the server as such."""

from __future__ import annotations

from typing import Any, Dict, Optional, Tuple


class PyexecError(Exception):
    """Base of every error with a wire type; raise a leaf, never this.

    Attributes:
        type: the contract's name. status: the HTTP status. limit_name: the limit that was met, for the metrics.
    """

    type = ""
    status = 0
    limit_name = ""

    @property
    def message(self) -> str:
        """The sentence for the caller."""
        return str(self)

    def fields(self) -> Dict[str, Any]:
        """Return the fields of `error_details` beside type and message."""
        return {}


class ValidationError(PyexecError):
    """The request is malformed; `field` names the part, None when it is the body as a whole."""

    type, status = "ValidationError", 400

    def __init__(self, message: str, field: Optional[str] = None) -> None:
        super().__init__(message)
        self.field = field

    def fields(self) -> Dict[str, Any]:
        """Return the field's name."""
        return {"field": self.field}


class ForbiddenImportError(PyexecError):
    """The script tried to import modules that public scripts may not use."""

    type, status = "ForbiddenImportError", 400

    def __init__(self, modules: Tuple[str, ...]) -> None:
        super().__init__("Import of %s is not allowed." % ", ".join("'%s'" % name for name in modules))
        self.modules = modules

    def fields(self) -> Dict[str, Any]:
        """Return the modules' names."""
        return {"modules": list(self.modules)}


class RunTimeoutError(PyexecError):
    """The run took longer than its wall-clock time."""

    type, status, limit_name = "TimeoutError", 400, "time"

    def __init__(self, wall_s: float) -> None:
        super().__init__("Execution exceeded the time limit of %g seconds." % wall_s)


class ResourceLimitError(PyexecError):
    """The run used more of a resource than a run may.

    Memory, disk and output are in bytes.
    """

    type, status = "ResourceLimitError", 400

    def __init__(self, resource: str, limit: int) -> None:
        what = {"memory": "bytes of memory", "disk": "bytes of disk", "output": "bytes of output"}.get(
            resource, resource
        )
        super().__init__("Execution exceeded its limit of %d %s." % (limit, what))
        self.resource, self.limit, self.limit_name = resource, limit, resource

    def fields(self) -> Dict[str, Any]:
        """Return which limit."""
        return {"resource": self.resource, "limit": self.limit}


class AuthenticationError(PyexecError):
    """The admin key is wrong, or none is configured."""

    type, status = "AuthenticationError", 401


class Forbidden(PyexecError):
    """A page of another origin may not use this."""

    type, status = "Forbidden", 403


class NotFound(PyexecError):
    """No such path."""

    type, status = "NotFound", 404


class MethodNotAllowed(PyexecError):
    """The path exists, the method doesn't; `allow` lists the methods that do."""

    type, status = "MethodNotAllowed", 405

    def __init__(self, method: str, allow: Tuple[str, ...]) -> None:
        super().__init__("%s is not allowed here; use %s." % (method, " or ".join(allow)))
        self.allow = allow


class RequestTimeout(PyexecError):
    """The request did not arrive in time."""

    type, status = "RequestTimeout", 408


class LengthRequired(PyexecError):
    """The body came without a Content-Length."""

    type, status = "LengthRequired", 411


class PayloadTooLarge(PyexecError):
    """The body is larger than the server reads."""

    type, status, limit_name = "PayloadTooLarge", 413, "body"


class UnsupportedMediaType(PyexecError):
    """The body isn't declared as JSON in UTF-8, or is compressed, of which `of_coding` tells."""

    type, status = "UnsupportedMediaType", 415

    def __init__(self, message: str, of_coding: bool = False) -> None:
        super().__init__(message)
        self.of_coding = of_coding


class MisdirectedRequest(PyexecError):
    """The Host that the request names is not one of this server's."""

    type, status = "MisdirectedRequest", 421


class RateLimitExceeded(PyexecError):
    """The caller has used up a minute's or a day's requests."""

    type, status = "RateLimitExceeded", 429

    def __init__(self, message: str, retry_after_s: int, limit_name: str = "minute") -> None:
        super().__init__(message)
        self.retry_after_s, self.limit_name = retry_after_s, limit_name

    def fields(self) -> Dict[str, Any]:
        """Return when to try again, for clients that don't look at header fields."""
        return {"retry_after_sec": self.retry_after_s}


class HeadersTooLarge(PyexecError):
    """The request line or the header fields are larger than the server reads."""

    type, status, limit_name = "HeadersTooLarge", 431, "head"


class NotImplementedHere(PyexecError):
    """The body is in a transfer coding that this server does not know; NotImplemented is a name of Python's own."""

    type, status = "NotImplemented", 501


class ServerBusy(PyexecError):
    """No slot, connection or buffer is free, or the disk of the runs is nearly full."""

    type, status = "ServerBusy", 503

    def __init__(self, message: str, retry_after_s: int = 1, limit_name: str = "runs") -> None:
        super().__init__(message)
        self.retry_after_s, self.limit_name = retry_after_s, limit_name

    def fields(self) -> Dict[str, Any]:
        """Return when to try again, for clients that don't look at header fields."""
        return {"retry_after_sec": self.retry_after_s}


class VersionNotSupported(PyexecError):
    """The request is in a version of HTTP other than 1."""

    type, status = "VersionNotSupported", 505


class InternalServerError(PyexecError):
    """Our fault. The caller sees an id; `reason` goes to the log only."""

    type, status = "InternalServerError", 500

    def __init__(self, reason: str, fault_id: str) -> None:
        super().__init__("An internal error occurred. Its id is %s." % fault_id)
        self.reason, self.fault_id = reason, fault_id

    def fields(self) -> Dict[str, Any]:
        """Return the id that stands in the log."""
        return {"id": self.fault_id}


class LayerError(Exception):
    """A confinement layer could not be put on, so no user code ran."""

    def __init__(self, layer: str, reason: str) -> None:
        super().__init__("layer %s: %s" % (layer, reason))
        self.layer, self.reason = layer, reason


class SandboxError(Exception):
    """The sandbox could not start or run something; the message is for the operator."""


class ConfigError(Exception):
    """A setting is unknown, empty or malformed; the message names it and says what to write."""
