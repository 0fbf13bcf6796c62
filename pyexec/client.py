"""A caller for Python programs: urllib underneath, the contract's errors raised as this package's classes.

result = Client("http://127.0.0.1:5000").execute("print(6 * 7)")
result.stdout == "42\\n"
"""

from __future__ import annotations

import base64
import email.message
import email.utils
import http.client
import json
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Dict, Mapping, Optional, Sequence

_FOREIGN = "HTTPError"  # the type of what no pyexec answered
_MOST_SHOWN = 200


class ServiceError(Exception):
    """The service answered with an error, or something else answered in its place, such as a proxy on the way.

    Attributes:
        type: the contract's name, as "RateLimitExceeded"; "HTTPError" if it was not the service that answered.
        status: of HTTP. document: the whole answer, empty if it was no JSON object of the service's.
        retry_after_s: when to try again, None if the answer didn't say.
    """

    def __init__(self, status: int, document: Dict[str, Any], retry_after_s: Optional[int], message: str = "") -> None:
        """Made by `Client` only."""
        details = document.get("error_details")
        details = details if isinstance(details, dict) else {}
        self.type = str(details.get("type") or _FOREIGN)
        super().__init__("%s: %s" % (self.type, details.get("message", message or "status %d" % status)))
        self.status, self.document, self.retry_after_s = status, document, retry_after_s


class _ReadsAnswer(http.client.HTTPConnection):
    """A connection that looks for an answer although the request could not be sent to its end.

    A server that refuses a large body answers before all of it has come, and may close then: for the sender that is a
    broken pipe, with the reason lying there to be read.
    """

    _unsent: Optional[OSError] = None

    def send(self, data: Any) -> None:
        """Send; what fails once there is a connection is kept for `getresponse`."""
        if self.sock is None:  # this connects as well, and there is nobody yet who could have answered
            super().send(data)
            return
        try:
            super().send(data)
        except (ConnectionError, ssl.SSLEOFError) as error:
            self._unsent = error

    def getresponse(self) -> http.client.HTTPResponse:
        """Return the answer; if there is none, what went wrong first is the error."""
        try:
            return super().getresponse()
        except (http.client.HTTPException, OSError):
            if self._unsent is not None:
                raise self._unsent from None
            raise


class _ReadsAnswerOverTls(_ReadsAnswer, http.client.HTTPSConnection):
    pass


class _Http(urllib.request.HTTPHandler):
    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_ReadsAnswer, request)


class _Https(urllib.request.HTTPSHandler):
    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_ReadsAnswerOverTls, request)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Leaves redirects as they are: urllib would hand the key on to any host that one names, and turn POST into GET."""

    def redirect_request(self, *_: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_Http, _Https, _NoRedirects)


def _seconds(text: Optional[str]) -> Optional[int]:
    """Return what Retry-After says: seconds, or a date (RFC 9110, 10.2.3); None for anything else."""
    if text is None:
        return None
    if text.strip().isdecimal() and text.isascii() and len(text) <= 10:
        return int(text)
    try:
        moment = email.utils.parsedate_to_datetime(text)
        if moment.tzinfo is None:  # as of "-0000"
            moment = moment.replace(tzinfo=timezone.utc)
        return max(0, round((moment - datetime.now(timezone.utc)).total_seconds()))
    except (TypeError, ValueError, IndexError, OverflowError):  # of what is no date; which one depends on the Python
        return None


@dataclass(frozen=True)
class Result:
    """What a script gave back. `files` holds the contents of the files that could be returned."""

    success: bool
    stdout: str
    stderr: str
    exit_code: int
    duration_s: float
    files: Dict[str, bytes]
    file_errors: Dict[str, str]
    document: Dict[str, Any]


class Client:
    """Calls one service."""

    def __init__(self, base_url: str, api_key: Optional[str] = None, timeout_s: float = 60.0) -> None:
        """Remember where to and as whom; `api_key` is the admin key and goes into the Authorization field."""
        if not base_url.startswith(("http://", "https://")):
            raise ValueError("base_url must begin with http:// or https://, not %r" % base_url)
        if api_key is not None and any(ord(character) < 0x20 or character == "\x7f" for character in api_key):
            raise ValueError("api_key has a control character")  # without the key, which http.client would show
        self._base_url, self._api_key, self._timeout_s = base_url.rstrip("/"), api_key, timeout_s

    def execute(
        self,
        code: str,
        stdin: Optional[str] = None,
        attachments: Optional[Mapping[str, bytes]] = None,
        return_files: Sequence[str] = (),
    ) -> Result:
        """Run a script and return what it gave back; a script that fails is a Result with `success` False.

        Raises:
            ServiceError: the service refused or ended the run. OSError: it could not be reached.
        """
        body: Dict[str, Any] = {"code": code}
        if stdin is not None:
            body["stdin_data"] = stdin
        if attachments:
            body["attachments"] = [
                {"filename": name, "content_base_64": base64.b64encode(content).decode("ascii")}
                for name, content in attachments.items()
            ]
        if return_files:
            body["return_files"] = list(return_files)
        document = self.call("POST", "/execute", body)
        try:
            return _result(document)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise ServiceError(200, document, None, "what answered is no pyexec") from None

    def health(self) -> Dict[str, Any]:
        """Return the service's state. Raises ServiceError, OSError."""
        return self.call("GET", "/health")

    def call(self, method: str, path: str, body: Any = None) -> Dict[str, Any]:
        """Send one request and return the JSON of its answer. Raises ServiceError, OSError."""
        headers = {"Content-Type": "application/json"}
        if self._api_key is not None:
            # http.client writes header fields as Latin-1; the key is UTF-8.
            headers["Authorization"] = "Bearer " + self._api_key.encode("utf-8").decode("latin-1")
        data = None if body is None else json.dumps(body).encode("utf-8")
        request = urllib.request.Request(self._base_url + path, data, headers, method=method)
        try:
            return self._ask(request)
        except http.client.HTTPException as error:  # what came is no HTTP, or was cut off
            raise ConnectionError("the answer could not be read: %r" % error) from error

    def _ask(self, request: urllib.request.Request) -> Dict[str, Any]:
        try:
            with _OPENER.open(request, timeout=self._timeout_s) as answer:
                return _object(answer.status, answer.read(), answer.headers)
        except urllib.error.HTTPError as error:
            with error:
                document = _object(error.code, error.read(), error.headers)
                raise ServiceError(error.code, document, _seconds(error.headers.get("Retry-After"))) from None


def _object(status: int, body: bytes, headers: email.message.Message) -> Dict[str, Any]:
    """Return the JSON object in an answer. Raises ServiceError: there is none, so that something else answered."""
    try:
        document = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        document = None
    if isinstance(document, dict):
        return document
    if 300 <= status < 400 and headers.get("Location"):
        message = "status %d; it is at %s now, and redirects are not followed" % (status, headers["Location"])
    else:
        shown = " ".join(body[: 4 * _MOST_SHOWN].decode("utf-8", "replace").split())[:_MOST_SHOWN]
        message = "status %d, and no answer of pyexec: %s" % (status, shown)
    raise ServiceError(status, {}, _seconds(headers.get("Retry-After")), message)


def _result(document: Dict[str, Any]) -> Result:
    details = document["execution_details"]
    outputs = details["output_files"]
    return Result(
        success=details["success"],
        stdout=details["stdout"],
        stderr=details["stderr"],
        exit_code=details["exit_code"],
        duration_s=details["execution_duration_sec"],
        files={n: base64.b64decode(f["content_base64"]) for n, f in outputs.items() if "content_base64" in f},
        file_errors={name: file["error"] for name, file in outputs.items() if "error" in file},
        document=document,
    )
