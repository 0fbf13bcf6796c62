"""A client for Python programs, on any system: urllib underneath, the errors of the service raised as `ServiceError`.

result = Client("http://127.0.0.1:5000").execute("print(6 * 7)")
result.stdout == "42\\n"

In a program with an event loop: `await asyncio.to_thread(client.execute, "print(6 * 7)")`.
"""

from __future__ import annotations

import base64
import concurrent.futures
import email.message
import email.utils
import http.client
import inspect
import json
import ssl
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, Callable, Iterable, Mapping, Sequence, Union

MAX_WAIT_S = 60.0
_TRY_AGAIN = (429, 502, 503, 504)
_FIRST_WAIT_S, _LONGEST_STEP_S = 0.25, 8.0  # where the service doesn't say how long
_MOST_SHOWN, _CONTENT = 200, "content_base64"


class ServiceError(Exception):
    """The service answered with an error, or something else, such as a proxy, answered in its place.

    Attributes:
        type: the error's name in the API, like "RateLimitExceeded"; "HTTPError" if the answer isn't the service's.
        status: the HTTP status. document: the whole answer; empty if it isn't a JSON object.
        retry_after_s: when to try again; None if the answer doesn't say. hint: what to do; None if that is clear.
    """

    def __init__(self, status: int, document: dict[str, Any], retry_after_s: int | None, message: str = "") -> None:
        """Only `Client` makes these."""
        details = document["error_details"] if isinstance(document.get("error_details"), dict) else {}
        self.type = str(details.get("type") or "HTTPError")
        self.hint = details.get("hint")
        message = details.get("message", message or f"status {status}")
        super().__init__(f"{self.type}: {message} {self.hint or ''}".rstrip())
        self.status, self.document, self.retry_after_s = status, document, retry_after_s


class _ReadsAnswer(http.client.HTTPConnection):
    """A connection that reads the answer even if the request could not be sent in full.

    A server that refuses a large body may close before it has all arrived: the sender gets a broken pipe while the
    reason waits to be read.
    """

    _unsent: OSError | None = None

    def send(self, data: Any) -> None:
        """Send; an error after the connection was made is kept for `getresponse`."""
        if self.sock is None:  # then this connects, too, and nobody can have answered yet
            super().send(data)
            return
        try:
            super().send(data)
        except (ConnectionError, ssl.SSLEOFError) as error:
            self._unsent = error

    def getresponse(self) -> http.client.HTTPResponse:
        """Return the answer; if there is none, raise what went wrong first."""
        try:
            return super().getresponse()
        except (http.client.HTTPException, OSError):
            if self._unsent is not None:
                raise self._unsent from None
            raise


class _ReadsAnswerOverTls(_ReadsAnswer, http.client.HTTPSConnection): ...


class _Http(urllib.request.HTTPHandler):
    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_ReadsAnswer, request)


class _Https(urllib.request.HTTPSHandler):
    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_ReadsAnswerOverTls, request)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: urllib would send the key to whatever host it names, and turn a POST into a GET."""

    def redirect_request(self, *_: Any) -> None: ...


_OPENER = urllib.request.build_opener(_Http, _Https, _NoRedirects)


def _seconds(text: str | None) -> int | None:
    """Return the seconds that Retry-After asks for, as a number or a date (RFC 9110, 10.2.3); None if it is neither."""
    text = text or ""
    if text.strip().isdecimal() and text.isascii() and len(text) <= 10:
        return int(text)
    try:
        moment = email.utils.parsedate_to_datetime(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)  # its zone was "-0000"
        return max(0, round((moment - datetime.now(timezone.utc)).total_seconds()))
    except (TypeError, ValueError, IndexError, OverflowError):  # not a date; which error depends on the Python version
        return None


@dataclass(frozen=True)
class Result:
    """What a script gave back.

    `files` holds the contents of those that could be returned, `file_errors` why others couldn't, `written` the size of
    every file created or changed. `hint`, `error` and `value` are those of `execution_details`, None if absent.
    """

    success: bool
    stdout: str
    stderr: str
    exit_code: int
    duration_s: float
    files: dict[str, bytes]
    file_errors: dict[str, str]
    document: dict[str, Any]
    written: dict[str, int] = field(default_factory=dict)
    hint: str | None = None
    error: dict[str, Any] | None = None
    value: dict[str, Any] | None = None


Answered = Union[Result, ServiceError, OSError]


class Client:
    """Calls the service at one address. Threads may share a client."""

    def __init__(
        self, base_url: str, api_key: str | None = None, timeout_s: float = 60.0, max_wait_s: float = MAX_WAIT_S
    ) -> None:
        """Remember the address and the admin key, which is sent in the Authorization field; connect to nothing yet.

        `timeout_s` is for each answer; `max_wait_s` is how long a script may wait in all, as `submit` does.
        """
        if not base_url.startswith(("http://", "https://")):
            raise ValueError(f"base_url must begin with http:// or https://, not {base_url!r}")
        if api_key is not None and any(ord(character) < 0x20 or character == "\x7f" for character in api_key):
            raise ValueError("api_key has a control character")  # http.client's own error would show the key
        if not max_wait_s >= 0:
            raise ValueError(f"max_wait_s must be 0 or more, not {max_wait_s!r}")
        self._base_url, self._api_key, self._timeout_s = base_url.rstrip("/"), api_key, timeout_s
        self._max_wait_s = max_wait_s

    def execute(
        self,
        code: str,
        stdin: str | None = None,
        attachments: Mapping[str, bytes] | None = None,
        return_files: Sequence[str] = (),
        value: bool = False,
        locals: bool = True,
    ) -> Result:
        """Run a script, waiting as `submit` does, and return what it gave back; `success` is False if it failed.

        `value` asks for the value of the last line; without `locals`, `error` has no variables.

        Raises:
            ServiceError: the service refused or ended the run. OSError: it could not be reached.
        """
        body: dict[str, Any] = {"code": code}
        if stdin is not None:
            body["stdin_data"] = stdin
        if attachments:
            encoded = {name: base64.b64encode(content).decode("ascii") for name, content in attachments.items()}
            body["attachments"] = [{"filename": name, "content_base_64": text} for name, text in encoded.items()]
        if return_files:
            body["return_files"] = list(return_files)
        body.update(({"value": True} if value else {}), **({} if locals else {"locals": False}))
        document = self.submit(body)
        try:
            return _result(document)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise ServiceError(200, document, None, "the answer isn't from pyexec") from None

    def execute_many(
        self, jobs: Iterable[Mapping[str, Any]], at_once: int = 4, progress: Callable[[int, int], object] | None = None
    ) -> list[Answered]:
        """Run many scripts and return what each gave back, or the error that it ended in, in their order.

        Args:
            jobs: the arguments of `execute` for each script, by name. at_once: how many are under way at a time.
            progress: called in this thread after each script, with the number of those done and of all.
        Raises TypeError, before anything begins, if `execute` doesn't take what a job has.
        """
        if at_once < 1:
            raise ValueError(f"at_once must be 1 or more, not {at_once!r}")
        calls = [inspect.signature(self.execute).bind(**job) for job in jobs]
        with concurrent.futures.ThreadPoolExecutor(at_once) as threads:
            running = [threads.submit(self._answered, call) for call in calls]
            try:
                for done, each in enumerate(concurrent.futures.as_completed(running), 1):
                    each.result()
                    if progress is not None:
                        progress(done, len(running))
            finally:
                for each in running:
                    each.cancel()
        return [each.result() for each in running]

    def _answered(self, call: inspect.BoundArguments) -> Answered:
        try:
            return self.execute(*call.args, **call.kwargs)
        except (ServiceError, OSError) as error:
            return error

    def submit(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Send the body of one `POST /execute` and return the answer.

        Where the service is busy or refuses connections, or a quota is used up, wait as long as it says and try again,
        unless that would be more than `max_wait_s` in all: then the error is raised at once. A script can reach nothing
        outside its run, so running it twice would only cost time and quota. Raises ServiceError, OSError.
        """
        waited_s, step_s = 0.0, _FIRST_WAIT_S
        while True:
            try:
                return self.call("POST", "/execute", body)
            except ServiceError as error:
                wait_s = max(step_s if error.retry_after_s is None else float(error.retry_after_s), _FIRST_WAIT_S)
                if error.status not in _TRY_AGAIN or waited_s + wait_s > self._max_wait_s:
                    raise
            except OSError as error:
                wait_s = step_s
                refused = isinstance(getattr(error, "reason", error), ConnectionRefusedError)  # so it reached nobody
                if not refused or waited_s + wait_s > self._max_wait_s:
                    raise
            time.sleep(wait_s)
            waited_s, step_s = waited_s + wait_s, min(2 * step_s, _LONGEST_STEP_S)

    def health(self) -> dict[str, Any]:
        """Return the state of the service. Raises ServiceError, OSError."""
        return self.call("GET", "/health")

    def call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Send one request and return the JSON object in the answer. Raises ServiceError, OSError."""
        headers = {"Content-Type": "application/json"}
        if self._api_key is not None:
            # http.client writes header fields as Latin-1; the key is UTF-8.
            headers["Authorization"] = "Bearer " + self._api_key.encode("utf-8").decode("latin-1")
        data = None if body is None else json.dumps(body).encode("utf-8")
        request = urllib.request.Request(self._base_url + path, data, headers, method=method)
        try:
            return self._ask(request)
        except http.client.HTTPException as error:  # the answer isn't HTTP, or was cut off
            raise ConnectionError(f"the answer could not be read: {error!r}") from error

    def _ask(self, request: urllib.request.Request) -> dict[str, Any]:
        try:
            with _OPENER.open(request, timeout=self._timeout_s) as answer:
                return _object(answer.status, answer.read(), answer.headers)
        except urllib.error.HTTPError as error:
            with error:
                document = _object(error.code, error.read(), error.headers)
                raise ServiceError(error.code, document, _seconds(error.headers.get("Retry-After"))) from None


def _object(status: int, body: bytes, headers: email.message.Message) -> dict[str, Any]:
    """Return the JSON object in an answer. Raises ServiceError: there is none, so the answer isn't the service's."""
    try:
        document = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        document = None
    if isinstance(document, dict):
        return document
    if 300 <= status < 400 and headers.get("Location"):
        message = f"status {status}, a redirect to {headers['Location']}; redirects are not followed"
    else:
        shown = " ".join(body[: 4 * _MOST_SHOWN].decode("utf-8", "replace").split())[:_MOST_SHOWN]
        message = f"status {status}, not from pyexec: {shown}"
    raise ServiceError(status, {}, _seconds(headers.get("Retry-After")), message)


def _result(document: dict[str, Any]) -> Result:
    details, outputs = document["execution_details"], document["execution_details"]["output_files"]
    return Result(
        success=details["success"],
        stdout=details["stdout"],
        stderr=details["stderr"],
        exit_code=details["exit_code"],
        duration_s=details["execution_duration_sec"],
        files={name: base64.b64decode(each[_CONTENT]) for name, each in outputs.items() if _CONTENT in each},
        file_errors={name: file["error"] for name, file in outputs.items() if "error" in file},
        document=document,
        written={file["path"]: file["size_bytes"] for file in details.get("files_written", ())},
        **{name: details.get(name) for name in ("hint", "error", "value")},
    )
