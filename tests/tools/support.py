"""What several test files share: raw HTTP over a socket, the shape that every answer has, request bytes, fuzzing rules.

The reader is strict: an answer that is not exactly one status line, fields, and as many bytes as it promised fails.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import threading
from datetime import datetime, timedelta
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from hypothesis import HealthCheck, settings

# The same examples in every run: a failure in CI can be repeated. To explore: --hypothesis-seed and derandomize=False.
FUZZ = settings(
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MIB = 1024 * 1024
PATIENCE_S = 30.0  # for what comes at once unless something is broken

_STATUS_LINE = re.compile(r"HTTP/1\.1 ([1-5][0-9]{2}) ([A-Za-z -]*)\Z")
_FIELD_LINE = re.compile(r"([A-Za-z][A-Za-z-]*): ([\x20-\x7e]*)\Z")
_SECURITY = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
}
# Every error type of the contract, and the two that its silence leaves to us, with their statuses.
STATUS_OF = {
    "ValidationError": 400,
    "ForbiddenImportError": 400,
    "TimeoutError": 400,
    "ResourceLimitError": 400,
    "AuthenticationError": 401,
    "Forbidden": 403,
    "NotFound": 404,
    "MethodNotAllowed": 405,
    "RequestTimeout": 408,
    "LengthRequired": 411,
    "PayloadTooLarge": 413,
    "UnsupportedMediaType": 415,
    "MisdirectedRequest": 421,
    "RateLimitExceeded": 429,
    "HeadersTooLarge": 431,
    "InternalServerError": 500,
    "NotImplemented": 501,
    "ServerBusy": 503,
    "VersionNotSupported": 505,
}


class Reply(NamedTuple):
    """One answer as it stood on the wire; field names are in lower case."""

    status: int
    fields: Dict[str, str]
    body: bytes

    @property
    def document(self) -> Dict[str, Any]:
        """The body's JSON."""
        return dict(json.loads(self.body.decode("utf-8")))

    @property
    def error_type(self) -> Optional[str]:
        """The contract's name of the error, None if the answer is none."""
        return str(self.document["error_details"]["type"]) if self.status >= 400 and self.body else None


def parse_reply(data: bytes, head_only: bool = False) -> Tuple[Reply, bytes]:
    """Return the answer that these bytes begin with, and the bytes behind it."""
    head, separator, rest = data.partition(b"\r\n\r\n")
    assert separator, "no end of the head in %r" % data[:200]
    first, *lines = head.decode("ascii").split("\r\n")
    match = _STATUS_LINE.match(first)
    assert match, "no status line: %r" % first
    fields: Dict[str, str] = {}
    for line in lines:
        field = _FIELD_LINE.match(line)
        assert field, "no header field: %r" % line
        assert field.group(1).lower() not in fields, "twice: %r" % line
        fields[field.group(1).lower()] = field.group(2)
    status = int(match.group(1))
    length = 0 if head_only or status in (100, 204, 304) else int(fields["content-length"])
    assert len(rest) >= length, "the body is cut off: %d of %d bytes" % (len(rest), length)
    return Reply(status, fields, rest[:length]), rest[length:]


def parse_replies(data: bytes, methods: Sequence[str] = ()) -> List[Reply]:
    """Return the answers in these bytes, to requests with these methods (default GET); interim answers take none."""
    replies: List[Reply] = []
    waiting = list(methods)
    while data:
        method = waiting[0] if waiting else "GET"
        reply, data = parse_reply(data, method == "HEAD")
        if reply.status != 100:
            waiting = waiting[1:]
        replies.append(reply)
    return replies


def connect(port: int, timeout_s: float = PATIENCE_S) -> socket.socket:
    """Return a connection to the loopback that sends every write at once."""
    sock = socket.create_connection(("127.0.0.1", port), timeout_s)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def read_to_end(sock: socket.socket) -> bytes:
    """Return all that still comes until the other side closes."""
    parts = []
    while True:
        part = sock.recv(1 << 16)
        if not part:
            return b"".join(parts)
        parts.append(part)


def read_reply(sock: socket.socket, head_only: bool = False) -> Reply:
    """Return the next answer of a connection that stays open; nothing may come behind it."""
    data = b""
    while True:
        part = sock.recv(1 << 16)
        assert part, "closed after %r" % data[:200]
        data += part
        try:
            reply, rest = parse_reply(data, head_only)
        except AssertionError:
            continue  # not all there yet; a malformed one ends at the socket's timeout
        assert rest == b""
        return reply


def exchange(port: int, *pieces: bytes) -> bytes:
    """Send the pieces, each as a write of its own, then our end of file; return all that came back."""
    with connect(port) as sock:
        for piece in pieces:
            sock.sendall(piece)
        sock.shutdown(socket.SHUT_WR)
        return read_to_end(sock)


def ask(port: int, raw: bytes, method: str = "GET") -> Reply:
    """Send one raw request and return its one answer, its shape checked."""
    (reply,) = parse_replies(exchange(port, raw), [method])
    check_reply(reply)
    return reply


def request(
    method: str,
    target: str,
    body: Optional[bytes] = None,
    fields: Sequence[Tuple[str, str]] = (),
    version: str = "HTTP/1.1",
) -> bytes:
    """Return the bytes of a well-formed request; Content-Length is written for a body."""
    lines = ["%s %s %s" % (method, target, version), "Host: localhost"]
    lines += ["%s: %s" % field for field in fields]
    if body is not None:
        lines.append("Content-Length: %d" % len(body))
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8") + (body or b"")


def execute(document: Any, *fields: Tuple[str, str]) -> bytes:
    """Return the bytes of a POST to /execute; a document that is bytes is sent as it is."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode("utf-8")
    return request("POST", "/execute", body, [("Content-Type", "application/json")] + list(fields))


def check_timestamp(text: str) -> None:
    """Check that a text is a moment in UTC, with microseconds, of these days."""
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00\Z", text), text
    moment = datetime.fromisoformat(text)
    assert abs(datetime.now(moment.tzinfo) - moment) < timedelta(hours=1)


def check_error(document: Any) -> None:
    """Check the shape that all errors have."""
    assert set(document) <= {
        "status",
        "timestamp_utc",
        "error_details",
        "user_info",
        "server_status",
        "execution_details",
    }
    assert document["status"] == "error"
    check_timestamp(document["timestamp_utc"])
    details = document["error_details"]
    extra = {
        "ValidationError": {"field"},
        "ForbiddenImportError": {"modules"},
        "ResourceLimitError": {"resource", "limit"},
        "RateLimitExceeded": {"retry_after_sec"},
        "ServerBusy": {"retry_after_sec"},
        "InternalServerError": {"id"},
    }
    assert set(details) == {"type", "message"} | extra.get(details["type"], set())
    assert details["type"] in STATUS_OF
    assert isinstance(details["message"], str) and details["message"].endswith(".")


def check_reply(reply: Reply, origin: Optional[str] = None) -> None:
    """Check what every final answer has: security fields, framing, and one JSON shape for all errors."""
    for name, value in _SECURITY.items():
        assert reply.fields[name] == value
    assert "default-src 'none'" in reply.fields["content-security-policy"]
    assert "frame-ancestors 'none'" in reply.fields["content-security-policy"]
    assert "require-trusted-types-for 'script'" in reply.fields["content-security-policy"]
    assert reply.fields.get("access-control-allow-origin") == origin
    if origin is None:
        assert not [name for name in reply.fields if name.startswith("access-control-")]
    assert reply.fields["connection"] in ("close", "keep-alive")
    assert re.match(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\Z", reply.fields["date"])
    assert ("content-length" in reply.fields) == ("content-type" in reply.fields) == (reply.status not in (204, 304))
    assert ("allow" in reply.fields) == (reply.status in (204, 405))
    assert ("retry-after" in reply.fields) == (reply.status == 429 or reply.error_type == "ServerBusy")
    if "retry-after" in reply.fields:
        assert int(reply.fields["retry-after"]) >= 1
        if reply.body:
            assert reply.document["error_details"]["retry_after_sec"] == int(reply.fields["retry-after"])
    assert "accept-encoding" not in reply.fields or reply.status == 415
    assert ("www-authenticate" in reply.fields) == (reply.status == 401)
    if reply.status >= 400 and reply.body and reply.error_type is not None:
        assert reply.fields["content-type"] == "application/json; charset=utf-8"
        check_error(reply.document)
        assert STATUS_OF[reply.error_type] == reply.status


def check_alive(port: int) -> None:
    """Check that the server still answers, and could run something."""
    reply = ask(port, request("GET", "/health"))
    assert (reply.status, reply.document["status"]) == (200, "ok")


def in_threads(count: int, work: Callable[[int], Any]) -> List[Any]:
    """Call `work` with 0 to count−1 at once, each in a thread, and return what they returned or raised, in order."""
    results: List[Any] = [None] * count

    def one(place: int) -> None:
        try:
            results[place] = work(place)
        except Exception as error:
            results[place] = error

    threads = [threading.Thread(target=one, args=(place,)) for place in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def log_lines(text: str) -> List[Dict[str, Any]]:
    """Return the access log's lines, parsed; what is none starts with the program's name."""
    lines = []
    for line in text.splitlines():
        if line.startswith("{"):
            lines.append(json.loads(line))
        else:
            assert line.startswith("pyexec: "), line
    return lines


@contextlib.contextmanager
def holding(*sockets: socket.socket) -> Iterator[None]:
    """Close the sockets at the end, whatever happens."""
    try:
        yield
    finally:
        for sock in sockets:
            sock.close()
