"""Debian's redis-server, which a test can kill, stop and start again."""

from __future__ import annotations

import signal
import socket
import subprocess

import redis
from processes import await_that

PASSWORD = "not-for-the-log"


def free_port() -> int:
    """Return a port of the loopback that nobody has."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class RedisServer:
    """A redis-server; each start finds it empty."""

    def __init__(self, work: str, *options: str) -> None:
        """Start it, with further options."""
        self.port = free_port()
        self.url = f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"
        self._command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", work, "--save", ""]
        self._command += ["--requirepass", PASSWORD, *options]
        self.start()

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        self.client = redis.Redis.from_url(self.url)
        await_that(self._answers)

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.exceptions.RedisError:
            return False

    def break_down(self, how: str) -> None:
        """Be "killed", or "hung"."""
        if how == "killed":
            self.kill()
        else:
            self.process.send_signal(signal.SIGSTOP)

    def come_back(self, how: str) -> None:
        """Start again after the one, or go on after the other."""
        if how == "killed":
            self.start()
        else:
            self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it."""
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()
