"""The load: callers on raw sockets, cheap enough not to distort the measurement. Checks are not timed."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from typing import Callable

from benchmarks.jobs import Job
from benchmarks.targets import Target

_CHUNK = 1 << 18
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_LONGEST_S = 60.0
_own = threading.local()


class WrongAnswer(Exception):
    """A server gave a wrong answer, so there is nothing to compare."""


class Caller:
    """Asks one server for one job again and again, each time on a new connection, or on one that is kept."""

    def __init__(self, target: Target, job: Job, kept: bool = False, key: str | None = None) -> None:
        """Prepare the bytes to send; with a key, as an admin."""
        self._target, self._job, self._kept = target, job, kept
        body = job.body()
        head = "POST /execute HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
        head += "" if kept else "Connection: close\r\n"
        head += f"Authorization: Bearer {key}\r\n" if key else ""
        self._request = (head % len(body) + "\r\n").encode() + body
        self._socket: socket.socket | None = None
        # One per thread, never shrunk, so that growing it is not part of the measurement.
        self._buffer: bytearray = _own.__dict__.setdefault("buffer", bytearray(_CHUNK))

    def ask(self) -> float:
        """Ask once and return the seconds from before connecting to the answer's last byte. Raises WrongAnswer."""
        start = time.perf_counter()
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._target.port), _LONGEST_S)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A server that refuses may close before it has read everything; its answer must still be read.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._socket.sendall(self._request)
        begin, end = self._receive(self._socket)
        taken = time.perf_counter() - start
        if not self._kept:
            self.close()
        self._check(begin, end)
        return taken

    def _receive(self, sock: socket.socket) -> tuple[int, int]:
        """Return where the body begins and ends in the buffer."""
        have, begin, end = 0, 0, 0
        while not end or have < end:
            if have == len(self._buffer):
                self._buffer.extend(bytes(len(self._buffer)))
            with memoryview(self._buffer) as view:
                count = sock.recv_into(view[have:])
            if not count:
                raise WrongAnswer(f"{self._target.label} closed after {have} bytes")
            have += count
            if not end:
                begin = self._buffer.find(b"\r\n\r\n", 0, have) + 4
                found = _LENGTH.search(self._buffer, 0, begin) if begin > 4 else None
                if found:
                    end = begin + int(found.group(1))
        return begin, end

    def _check(self, begin: int, end: int) -> None:
        status, body = bytes(self._buffer[:12]), bytes(self._buffer[begin:end])
        try:
            assert status == b"HTTP/1.1 200", f"{status!r} {body[:2000]!r}"
            self._job.check(body)
        except (AssertionError, ValueError, KeyError) as error:
            raise WrongAnswer(f"{self._target.label}, {self._job.title}: {error}") from error

    def close(self) -> None:
        """Close the connection, if one is open."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def light(
    target: Target,
    job: Job,
    count: int,
    pause_s: float,
    most_s: float,
    kept: bool = False,
    key: str | None = None,
) -> list[float]:
    """Ask one at a time with a pause before each.

    Args:
        count: how often. most_s: a slow server is asked less often, but at least three times.
    """
    caller = Caller(target, job, kept, key)
    taken: list[float] = []
    try:
        if kept:
            caller.ask()
        deadline = time.monotonic() + most_s
        while len(taken) < count and (len(taken) < 3 or time.monotonic() < deadline):
            time.sleep(pause_s)
            taken.append(caller.ask())
    finally:
        caller.close()
    return taken


def closed_loop(target: Target, job: Job, callers: int, seconds: float) -> float:
    """Have some callers ask without a pause for this long, and return the answers a second."""

    def one(caller: Caller) -> float:
        count, start = 0, time.perf_counter()
        # Each caller stops after a complete answer and has its own rate, so the end of the slice cuts off no request.
        while time.perf_counter() - start < seconds:
            caller.ask()
            count += 1
        return count / (time.perf_counter() - start)

    return sum(_at_once(callers, target, job, one))


def repeat(target: Target, job: Job, callers: int, count: int) -> None:
    """Have some callers ask this often in all."""

    def one(caller: Caller) -> float:
        for _ in range(count // callers):
            caller.ask()
        return 0.0

    _at_once(callers, target, job, one)


def _at_once(count: int, target: Target, job: Job, work: Callable[[Caller], float]) -> list[float]:
    """Let callers work at the same time. Raises what the first of them raised."""
    results: list[float] = []
    errors: list[Exception] = []
    together = threading.Barrier(count)

    def one() -> None:
        caller = Caller(target, job)
        try:
            together.wait()
            results.append(work(caller))
        except Exception as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results
