"""A caller for Python programs: urllib underneath, the contract's errors raised as this package's classes.

result = Client("http://127.0.0.1:5000").execute("print(6 * 7)")
result.stdout == "42\\n"
"""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any, Dict, Mapping, Optional, Sequence


class ServiceError(Exception):
    """The service answered with an error.

    Attributes:
        type: the contract's name, as "RateLimitExceeded". status: of HTTP. document: the whole answer.
        retry_after_s: when to try again, None if the service didn't say.
    """

    def __init__(self, status: int, document: Dict[str, Any], retry_after_s: Optional[int]) -> None:
        """Made by `Client` only."""
        details = document.get("error_details", {})
        super().__init__("%s: %s" % (details.get("type"), details.get("message")))
        self.type = str(details.get("type"))
        self.status, self.document, self.retry_after_s = status, document, retry_after_s


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
            with urllib.request.urlopen(request, timeout=self._timeout_s) as answer:
                return dict(json.load(answer))
        except urllib.error.HTTPError as error:
            with error:
                after = error.headers.get("Retry-After")
                raise ServiceError(error.code, json.load(error), int(after) if after else None) from None
