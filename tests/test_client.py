"""`pyexec.client` against servers, and what stands in front of them, that don't answer as pyexec would."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
import urllib.error
import urllib.request
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any, Dict, Iterator, List, Tuple

import pytest
from servers import RunningServer
from support import MIB, PATIENCE_S

from pyexec import client as client_module
from pyexec.client import Client, ServiceError

KEY = "5ecret-key"


@contextlib.contextmanager
def answering(raw: bytes, most: int = 1 << 30, wait_s: float = 0.0) -> Iterator[Tuple[str, List[bytes]]]:
    """Serve these bytes to every connection, once so much has come as a whole request or `most`; yield URL and requests."""
    seen: List[bytes] = []

    def serve() -> None:
        while True:
            try:
                sock, _ = listening.accept()
            except OSError:
                return
            with sock, contextlib.suppress(OSError):
                sock.settimeout(PATIENCE_S)
                data = b""
                while len(data) < most and not _whole(data):
                    data += sock.recv(1 << 16) or b"\r\n\r\n"
                seen.append(data)
                sock.sendall(raw)
                time.sleep(wait_s)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield "http://127.0.0.1:%d" % listening.getsockname()[1], seen
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def _whole(data: bytes) -> bool:
    head, end, body = data.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return bool(end) and len(body) >= int(lengths[0] if lengths else 0)


def answer(status: int, body: bytes, *fields: str) -> bytes:
    head = ["HTTP/1.1 %d Some" % status, "Content-Length: %d" % len(body), *fields]
    return ("\r\n".join(head) + "\r\n\r\n").encode("latin-1") + body


def error_of(raw: bytes, **named: Any) -> ServiceError:
    with answering(raw, **named) as (url, _), pytest.raises(ServiceError) as caught:
        Client(url, KEY, max_wait_s=0).execute("1")
    return caught.value


REFUSED = json.dumps(
    {"status": "error", "error_details": {"type": "PayloadTooLarge", "message": "Too large."}}
).encode()


# -- a body that is refused before all of it has come -------------------------------------------------------------------


def test_the_answer_is_read_after_a_broken_pipe() -> None:
    large = {"big": bytes(48 * MIB)}
    # The server closes with most of the body unread, which makes the kernel reset the connection.
    with answering(answer(413, REFUSED), most=100000, wait_s=0.2) as (url, seen):
        request = urllib.request.Request(url + "/execute", bytes(48 * MIB))
        with pytest.raises(urllib.error.URLError) as plain:  # the control: what urllib makes of it
            urllib.request.urlopen(request)
        assert not isinstance(plain.value, urllib.error.HTTPError)
        with pytest.raises(ServiceError) as caught:
            Client(url).execute("1", attachments=large)
        assert (caught.value.status, caught.value.type) == (413, "PayloadTooLarge")
        assert str(caught.value) == "PayloadTooLarge: Too large."
        assert max(map(len, seen)) < 2 * MIB


def test_a_refused_upload_is_told_by_the_server_itself(server: RunningServer) -> None:
    with pytest.raises(ServiceError) as caught:
        server.client.execute("1", attachments={"big": bytes(45 * MIB)})
    assert (caught.value.status, caught.value.type) == (413, "PayloadTooLarge")


def test_without_an_answer_the_broken_pipe_is_the_error() -> None:
    with answering(b"", most=100000) as (url, _), pytest.raises(OSError) as caught:
        Client(url).execute("1", attachments={"big": bytes(20 * MIB)})
    assert not isinstance(caught.value, urllib.error.HTTPError)


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(OSError):
        Client("http://127.0.0.1:%d" % port).health()


# -- redirects ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_the_key_goes_to_no_host_that_a_redirect_names(status: int) -> None:
    with answering(answer(200, b"{}")) as (other, seen):
        with answering(answer(status, b"", "Location: %s/health" % other)) as (url, _):
            if status != 308:  # the control: Python before 3.11 doesn't know that one
                request = urllib.request.Request(url, headers={"Authorization": "Bearer " + KEY})
                urllib.request.urlopen(request).close()
                assert KEY.encode() in seen.pop()
            for call in (lambda client: client.health(), lambda client: client.execute("1")):
                with pytest.raises(ServiceError) as caught:
                    call(Client(url, KEY))
                assert (caught.value.status, caught.value.type, caught.value.document) == (status, "HTTPError", {})
                assert other in str(caught.value) and KEY not in str(caught.value)
        assert seen == []


# -- what stands in front -----------------------------------------------------------------------------------------------

PAGE = b"<html><head><title>502 Bad Gateway</title></head>\r\n<body>nginx \xff" + b"x" * 5000 + b"</body></html>"


@pytest.mark.parametrize("status", [200, 404, 413, 502, 504])
def test_a_proxys_page_is_a_service_error(status: int) -> None:
    error = error_of(answer(status, PAGE, "Content-Type: text/html"))
    assert (error.status, error.type, error.document, error.retry_after_s) == (status, "HTTPError", {}, None)
    assert "502 Bad Gateway" in str(error) and len(str(error)) < 400


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b'"x"', b"{", b"\xff", b"[" * 100000, b"1"])
@pytest.mark.parametrize("status", [200, 503])
def test_what_is_no_json_object_is_a_service_error(body: bytes, status: int) -> None:
    assert (error_of(answer(status, body)).type, error_of(answer(status, body)).status) == ("HTTPError", status)


@pytest.mark.parametrize(
    "document",
    [{}, {"execution_details": None}, {"execution_details": {}}, {"execution_details": {"output_files": []}}]
    + [{"error_details": "no"}, {"error_details": {"type": None}}, {"message": "Forbidden"}],
)
def test_the_json_of_somebody_else_is_a_service_error(document: Any) -> None:
    for status in (200, 403):
        error = error_of(answer(status, json.dumps(document).encode()))
        assert (error.status, error.document) == (status, document)


def test_a_server_that_is_not_ready_tells_its_state() -> None:
    with answering(answer(503, b'{"status": "unavailable"}')) as (url, _), pytest.raises(ServiceError) as caught:
        Client(url).health()
    assert caught.value.document == {"status": "unavailable"} and str(caught.value) == "HTTPError: status 503"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"hello\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}",
        b"HTTP/1.1 502 X\r\nContent-Length: 9\r\n\r\n{}",
    ],
)
def test_an_answer_that_is_cut_off_or_no_http_is_an_os_error(raw: bytes) -> None:
    with answering(raw) as (url, _), pytest.raises(OSError) as caught:
        Client(url).execute("1")
    assert not isinstance(caught.value, urllib.error.HTTPError)


def _in(seconds: float) -> str:
    return format_datetime(datetime.now(timezone.utc) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    "text, low, high",
    [("7", 7, 7), (" 120 ", 120, 120), ("0", 0, 0)]
    # Their time must not be in their names: each process that shares the tests has to find the same ones.
    + [pytest.param(_in(7200), 3000, 7201, id="in two hours"), pytest.param(_in(-3600), 0, 0, id="an hour ago")]
    + [("Fri, 31 Dec 9999 23:59:59 GMT", 10**9, 10**12), ("Friday, 31-Dec-99 23:59:59 GMT", 0, 10**11)],
)
@pytest.mark.parametrize("body", [PAGE, REFUSED])
def test_when_to_try_again(text: str, low: int, high: int, body: bytes) -> None:
    found = error_of(answer(503, body, "Retry-After: " + text)).retry_after_s
    assert found is not None and low <= found <= high


@pytest.mark.parametrize(
    "text", ["", "soon", "-5", "3.5", "\xb2", "1e3", "9" * 5000, "Fri, 99 Foo 2026", "x, y z 1:2:3"]
)
def test_a_retry_after_that_says_nothing_is_none(text: str) -> None:
    assert error_of(answer(503, REFUSED, "Retry-After: " + text)).retry_after_s is None


@pytest.mark.parametrize("key", ["a\nb", "a\r\nX: y", "\0", "\x7f"])
def test_a_key_that_no_header_can_carry_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(ValueError) as caught:
        Client("http://127.0.0.1:1", KEY + key)
    assert KEY not in str(caught.value)


# -- trying again -------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def answering_in_turn(*raws: bytes) -> Iterator[Tuple[str, List[bytes]]]:
    """Serve one of these to each request, the last one for ever; yield the URL and the requests."""
    seen: List[bytes] = []

    def serve() -> None:
        while True:
            try:
                sock, _ = listening.accept()
            except OSError:
                return
            with sock, contextlib.suppress(OSError):
                sock.settimeout(PATIENCE_S)
                data = b""
                while not _whole(data):
                    data += sock.recv(1 << 16) or b"\r\n\r\n"
                seen.append(data)
                sock.sendall(raws[min(len(seen), len(raws)) - 1])

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield "http://127.0.0.1:%d" % listening.getsockname()[1], seen
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


RUN = {
    "status": "success",
    "execution_details": {
        "success": True,
        "stdout": "42\n",
        "stderr": "",
        "exit_code": 0,
        "execution_duration_sec": 0.1,
        "output_files": {},
        "files_written": [{"path": "a", "size_bytes": 3}],
    },
}
GOOD = answer(200, json.dumps(RUN).encode())
BUSY = json.dumps({"error_details": {"type": "ServerBusy", "message": "All slots are taken."}}).encode()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> List[float]:
    """What the client waits, without waiting."""
    slept: List[float] = []
    monkeypatch.setattr(client_module.time, "sleep", slept.append)
    return slept


@pytest.mark.parametrize("status", [429, 502, 503, 504])
@pytest.mark.parametrize("body", [BUSY, PAGE])
def test_it_waits_as_long_as_the_service_says(waits: List[float], status: int, body: bytes) -> None:
    busy = answer(status, body, "Retry-After: 7"), answer(status, body, "Retry-After: 3"), GOOD
    with answering_in_turn(*busy) as (url, seen):
        result = Client(url).execute("print(42)")
        assert (result.stdout, result.written, waits) == ("42\n", {"a": 3}, [7, 3])
        assert len(seen) == 3 and seen[0] == seen[2]


def test_without_a_word_on_how_long_the_waits_grow_to_a_minute_in_all(waits: List[float]) -> None:
    with answering_in_turn(answer(503, BUSY)) as (url, seen), pytest.raises(ServiceError) as caught:
        Client(url).execute("1")
    assert caught.value.type == "ServerBusy" and len(seen) == len(waits) + 1
    assert waits == sorted(waits) and 50 < sum(waits) <= 60 and max(waits) <= 8


@pytest.mark.parametrize("max_wait_s, tries", [(60, 1), (61, 2), (0, 1), (200, 4)])
def test_a_wait_beyond_max_wait_s_is_not_begun(waits: List[float], max_wait_s: float, tries: int) -> None:
    day = answer(429, BUSY, "Retry-After: 61")
    with answering_in_turn(day) as (url, seen), pytest.raises(ServiceError) as caught:
        Client(url, max_wait_s=max_wait_s).execute("1")
    assert caught.value.retry_after_s == 61 and len(seen) == tries and sum(waits) <= max_wait_s


@pytest.mark.parametrize("status", [400, 401, 404, 413, 500, 501])
def test_what_waiting_does_not_help_is_raised_at_once(waits: List[float], status: int) -> None:
    with answering_in_turn(answer(status, BUSY, "Retry-After: 1")) as (url, seen), pytest.raises(ServiceError):
        Client(url).execute("1")
    assert len(seen) == 1 and waits == []


def test_only_scripts_are_tried_again(waits: List[float]) -> None:
    """A health of 503 is an answer."""
    with answering_in_turn(answer(503, b'{"status": "unavailable"}')) as (url, seen):
        for method, path in (("GET", "/health"), ("POST", "/execute")):
            with pytest.raises(ServiceError):
                Client(url).call(method, path)
    assert len(seen) == 2 and waits == []


def test_a_server_that_restarts_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    slept: List[float] = []
    with contextlib.ExitStack() as stack:

        def comes_back(seconds: float) -> None:
            slept.append(seconds)
            if len(slept) == 3:
                again = stack.enter_context(socket.create_server(("127.0.0.1", port)))
                threading.Thread(target=_answer_once, args=(again, GOOD)).start()

        monkeypatch.setattr(client_module.time, "sleep", comes_back)
        assert Client("http://127.0.0.1:%d" % port).execute("1").stdout == "42\n"
    assert slept == [0.25, 0.5, 1]
    monkeypatch.setattr(client_module.time, "sleep", slept.append)
    with pytest.raises(OSError):
        Client("http://127.0.0.1:%d" % port, max_wait_s=1).execute("1")
    assert slept == [0.25, 0.5, 1, 0.25, 0.5]


def _answer_once(listening: socket.socket, raw: bytes) -> None:
    sock, _ = listening.accept()
    with sock:
        data = b""
        while not _whole(data):
            data += sock.recv(1 << 16) or b"\r\n\r\n"
        sock.sendall(raw)


def test_a_connection_that_breaks_in_the_middle_is_not_tried_again(waits: List[float]) -> None:
    with answering_in_turn(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}") as (url, seen), pytest.raises(OSError):
        Client(url).execute("1")
    assert len(seen) == 1 and waits == []


@pytest.mark.parametrize("max_wait_s", [-1, float("nan")])
def test_a_wait_that_is_no_time_is_refused(max_wait_s: float) -> None:
    with pytest.raises(ValueError, match="max_wait_s must be 0 or more"):
        Client("http://127.0.0.1:1", max_wait_s=max_wait_s)


# -- many scripts -------------------------------------------------------------------------------------------------------


def test_many_scripts_come_back_in_order_with_progress(server: RunningServer) -> None:
    jobs = [{"code": "print(input())", "stdin": str(n)} for n in range(20)]
    jobs[3], jobs[7] = {"code": "1/0"}, {"code": "import os"}
    told: List[Tuple[int, int]] = []
    results = Client(server.url).execute_many(jobs, at_once=3, progress=lambda done, of: told.append((done, of)))
    assert told == [(n, 20) for n in range(1, 21)]
    assert isinstance(results[7], ServiceError) and results[7].type == "ForbiddenImportError"
    others = {n: result for n, result in enumerate(results) if n != 7}
    assert [n for n, result in others.items() if not result.success] == [3]
    assert all(result.stdout == "%d\n" % n for n, result in others.items() if n != 3)


def test_no_more_than_at_once_are_under_way() -> None:
    here, most, lock = [0], [0], threading.Lock()

    class Counting(Client):
        def submit(self, body: Any) -> Any:
            with lock:
                here[0] += 1
                most[0] = max(most[0], here[0])
            time.sleep(0.01)
            with lock:
                here[0] -= 1
            return RUN

    assert len(Counting("http://127.0.0.1:1").execute_many(({"code": "1"} for _ in range(30)), at_once=4)) == 30
    assert 2 <= most[0] <= 4
    with pytest.raises(ValueError, match="at_once must be 1 or more"):
        Client("http://127.0.0.1:1").execute_many([], at_once=0)


def test_a_mistake_in_a_job_ends_the_whole_at_once() -> None:
    """It is the program's, so it isn't an answer."""
    begun: List[Any] = []
    go_on = threading.Event()

    class Recording(Client):
        def submit(self, body: Any) -> Any:
            begun.append(body)
            assert go_on.wait(20)
            return RUN

    many = Recording("http://127.0.0.1:1").execute_many
    with pytest.raises(TypeError, match="cod"):  # seen before anything begins
        many([{"code": "1"}] * 1000 + [{"cod": "1"}], at_once=1)
    assert begun == []
    good: List[Dict[str, Any]] = [{"code": "1"}] * 1000
    threading.Timer(0.5, go_on.set).start()
    with pytest.raises(TypeError, match="bytes"):  # seen when its turn comes; what has not begun then isn't begun
        many([{"code": "1", "attachments": {"a": "no bytes"}}, *good], at_once=1)
    assert len(begun) <= 1


def test_in_an_event_loop_a_thread_does_it() -> None:
    """As the module's first lines say; Python 3.8 has no asyncio.to_thread."""

    async def main(client: Client) -> Any:
        loop = asyncio.get_running_loop()
        return await asyncio.gather(*(loop.run_in_executor(None, client.execute, "1") for _ in range(3)))

    with answering_in_turn(GOOD) as (url, _):
        assert [result.stdout for result in asyncio.run(main(Client(url)))] == ["42\n"] * 3


def test_what_the_service_advises_reaches_the_caller(server) -> None:
    result = server.client.execute("!ls")
    assert result.hint is not None and "plain Python script" in result.hint
    assert result.error is not None and result.error["line"] == 1 and result.value is None
    with pytest.raises(ServiceError, match="time limit.*Do less in one run") as caught:
        server.client.execute("while True: pass")
    assert caught.value.hint.startswith("Do less")


def test_the_last_value_and_the_variables_can_be_asked_for(server) -> None:
    assert server.client.execute("6 * 7", value=True).value == {"repr": "42", "json": 42}
    assert server.client.execute("6 * 7").value is None
    for wanted in (True, False):
        result = server.client.execute("x = 0\n1 / x", locals=wanted)
        assert result.error is not None and ("locals" in result.error["frames"][0]) == wanted
