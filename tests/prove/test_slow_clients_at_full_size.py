"""Slow clients and the server's memory, at the sizes of the defaults: who does nothing keeps nobody out.

As root, since the server lets nobody of its own uid look at its memory.
"""

from __future__ import annotations

import json
import resource
import socket
import threading
import time
from typing import Any, Callable, Iterator, List, Optional

import pytest
from figures import record
from processes import await_that, own_memory
from servers import RunningServer
from support import MIB, connect, execute, holding, in_threads, read_to_end, request

from pyexec.client import Client

HEAD = b"POST /execute HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
TEN_FILES = "for n in range(10): open('f%d' % n, 'wb').write(bytes([n]) * 6_400_000)"
NAMES = ["f%d" % n for n in range(10)]
LARGE = json.dumps({"code": TEN_FILES, "return_files": NAMES}).encode()
Start = Callable[..., RunningServer]


@pytest.fixture(autouse=True, scope="module")
def many_descriptors() -> Iterator[None]:
    """Both ends of the connections need descriptors; servers inherit the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4000), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def running(start_server: Start) -> Iterator[RunningServer]:
    """A server as it comes, but for the quota of a caller; no attack is to make a fault of ours."""
    running = start_server(rate_per_minute=1000000, rate_per_day=1000000)
    yield running
    assert '"level": "error"' not in running.log, running.log[-5000:]


def send_quietly(sock: socket.socket, data: bytes) -> None:
    """Send, whether or not the other side has closed meanwhile."""
    try:
        sock.sendall(data)
    except OSError:
        pass  # it has had to make room, which is what these tests are about


def connections(port: int, count: int) -> List[socket.socket]:
    return [connect(port) for _ in range(count)]


def test_announced_bodies_keep_nobody_out(running: RunningServer) -> None:
    """As many, 24 KB sent of each, were a 503 for every other POST."""
    slow = connections(running.port, 255)
    with holding(*slow):
        for sock in slow:
            send_quietly(sock, HEAD % (48 * MIB) + b" " * 24000)
        time.sleep(1)  # until each is read
        patient = Client(running.url, max_wait_s=5)  # on a busy machine, room may not be made at once
        for place in range(10):
            assert patient.execute("print(%d)" % place, stdin="x" * (4 * MIB)).stdout == "%d\n" % place
    record("slow-client attacks", 1)


def test_bodies_that_stall_make_room_for_one_that_goes_on(running: RunningServer) -> None:
    """Thirty bodies of 9 MB, all but their last byte sent, use up what bodies may take."""
    document = json.dumps({"code": "print(len(input()))", "stdin_data": "x" * (8 * MIB - 1)}).encode()
    slow = connections(running.port, 30)
    with holding(*slow):
        for sock in slow:
            threading.Thread(target=send_quietly, args=(sock, HEAD % (9 * MIB) + bytes(9 * MIB - 1))).start()
        time.sleep(2)
        with connect(running.port) as honest:
            honest.sendall(HEAD % len(document))
            for place in range(0, len(document), 1 << 17):  # some 2 MB a second
                honest.sendall(document[place : place + (1 << 17)])
                time.sleep(0.06)
            assert b'"stdout": "%d\\n"' % (8 * MIB - 1) in read_until(honest, b"}}")
    record("slow-client attacks", 1)


def read_until(sock: socket.socket, end: bytes) -> bytes:
    data = b""
    while not data.endswith(end):
        part = sock.recv(1 << 16)
        assert part, data[:300]
        data += part
    return data


def test_pipelined_requests_whose_answers_are_not_read_keep_nobody_out(running: RunningServer) -> None:
    patient = Client(running.url, max_wait_s=5)  # on a busy machine, room may not be made at once
    for _ in range(2):
        unread = []
        for _ in range(256):
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            sock.settimeout(30)
            sock.connect(("127.0.0.1", running.port))
            sock.setblocking(False)
            unread.append(sock)
        with holding(*unread):
            for sock in unread:
                try:
                    sock.send(request("GET", "/openapi.json") * 1500)
                    sock.shutdown(socket.SHUT_WR)
                except OSError:
                    continue  # has had to make room
            time.sleep(1)
            for place in range(5):
                assert patient.execute("print(%d)" % place).stdout == "%d\n" % place
    record("slow-client attacks", 2)


def test_an_upload_of_a_megabyte_a_second_survives_300_connections(running: RunningServer) -> None:
    document = json.dumps({"code": "print(len(input()))", "stdin_data": "x" * (8 * MIB - 1)}).encode()
    opened: List[socket.socket] = []

    def open_many() -> None:
        for _ in range(300):
            opened.append(connect(running.port))
            send_quietly(opened[-1], HEAD % 100000 + b"{")
            time.sleep(0.01)

    with connect(running.port) as honest:
        honest.sendall(HEAD % len(document))
        thread = threading.Thread(target=open_many)
        thread.start()
        for place in range(0, len(document), 1 << 16):
            honest.sendall(document[place : place + (1 << 16)])
            time.sleep(0.06)
        thread.join()
        with holding(*opened):
            assert b'"stdout": "%d\\n"' % (8 * MIB - 1) in read_until(honest, b"}}")
    record("slow-client attacks", 1)


def unread_answer(port: int) -> socket.socket:
    """Return a connection on which a large answer has begun, and isn't read."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(60)
    sock.connect(("127.0.0.1", port))
    sock.sendall(HEAD % len(LARGE) + LARGE)
    assert sock.recv(12).startswith(b"HTTP/1.1 ")
    return sock


def test_a_reader_keeps_its_answer_beside_some_that_nobody_reads(running: RunningServer) -> None:
    """85 MB at 20 MB a second; it was cut off in the middle, and charged, for two answers that weren't read."""
    with connect(running.port) as honest:
        honest.sendall(HEAD.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") % len(LARGE) + LARGE)
        got, unread = 0, []
        others = [
            threading.Thread(target=lambda: unread.append(unread_answer(running.port)), daemon=True) for _ in range(4)
        ]
        data = bytearray()
        while True:
            part = honest.recv(1 << 20)
            if not part:
                break
            data += part
            if len(data) > 1 << 20 and others[0].ident is None:
                for thread in others:
                    thread.start()
            time.sleep(len(part) / (20 * MIB))
        for thread in others:
            thread.join()
        got = len(data)
    with holding(*unread):
        details = json.loads(bytes(data).partition(b"\r\n\r\n")[2])["execution_details"]
        assert got > 85_000_000 and set(details["output_files"]) == set(NAMES)
        assert all(file["size_bytes"] == 6_400_000 for file in details["output_files"].values())
    record("slow-client attacks", 1)


def test_memory_after_a_storm(running: RunningServer) -> None:
    """Forty callers with large answers and large bodies, half of whom read nothing; 566 MiB were held a minute later."""
    pid = running.process.pid
    running.client.execute("print(1)")
    before = own_memory(pid)
    stdin = json.dumps({"code": "1", "stdin_data": "é" * (4 * MIB - 1)}).encode()
    highest: List[int] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.05):
            highest.append(own_memory(pid))

    def storm(place: int) -> Optional[int]:
        body = (LARGE, stdin)[place % 2]
        with connect(running.port, 90) as sock:
            send_quietly(sock, HEAD.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") % len(body) + body)
            if place % 4 == 0:
                time.sleep(3)
                return None
            try:
                return len(read_to_end(sock))
            except OSError:
                return None

    watcher = threading.Thread(target=watch)
    watcher.start()
    for _ in range(2):
        sizes: List[Any] = in_threads(40, storm)
        assert any(size is not None and size > 85_000_000 for size in sizes), sizes
    over.set()
    watcher.join()
    # 256 MiB of answers, as much of bodies, and what is made of them on the way.
    assert max(highest) - before < 1000 * MIB
    await_that(lambda: own_memory(pid) - before < 64 * MIB, 60)
    assert running.client.execute("print('still')").stdout == "still\n"
    record("memory attacks on the server", 1)


def test_refused_uploads_hold_no_memory(running: RunningServer) -> None:
    pid = running.process.pid
    running.client.execute("print(1)")
    before = own_memory(pid)
    body = bytes(60 * MIB)

    def upload(place: int) -> bytes:
        with connect(running.port, 60) as sock:
            sock.sendall(HEAD % len(body))
            sock.sendall(body)
            return read_to_end(sock)[:12]

    assert in_threads(8, upload) == [b"HTTP/1.1 413"] * 8
    assert own_memory(pid) - before < 16 * MIB
    record("memory attacks on the server", 1)


def test_an_execution_is_answered_in_between(running: RunningServer) -> None:
    """The control: without any attack the same requests are answered, so that the tests above show something."""
    with connect(running.port) as sock:
        sock.sendall(execute({"code": "print(6 * 7)"}))
        assert b"42" in read_until(sock, b"}}")
