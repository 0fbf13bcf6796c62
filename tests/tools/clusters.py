"""Nodes behind Debian's HAProxy, as deploy/haproxy.cfg has them, and callers that keep them busy."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional

from processes import await_that
from redis_servers import free_port
from servers import RunningServer
from support import ROOT, in_threads

SLEEP = "import time\ntime.sleep(%g)\nprint('slept')"


class Cluster:
    """Three nodes and a balancer in front; its configuration differs by addresses and slots only."""

    def __init__(
        self, work: str, slots: int = 4, environment: Optional[Dict[str, str]] = None, **settings: Any
    ) -> None:
        self.slots = slots
        self._settings = dict(
            {
                "max_runs": slots,
                "queue": 32,
                "queue_per_address": 32,
                "queue_s": 10,
                "drain_s": 2,
                "trusted_proxies": "127.0.0.1",
                "rate_per_minute": 1000000,
                "rate_per_day": 1000000,
            },
            **settings,
        )
        self._environment = environment
        self.ports = [free_port() for _ in range(3)]
        self.nodes = [self._node(port) for port in self.ports]
        self.port, self._socket = free_port(), os.path.join(work, "haproxy.sock")
        self._balancer = self._balance(self._socket, self.port)
        self.await_up(3)

    def _node(self, port: int) -> RunningServer:
        return RunningServer(dict(self._settings, port=port), environment=self._environment)

    @contextlib.contextmanager
    def another_balancer(self) -> Iterator[int]:
        """Have a second one in front of the same nodes, of which it knows nothing; give its port."""
        port = free_port()
        balancer = self._balance(self._socket + ".2", port)
        try:
            await_that(lambda: ask(port, {"code": "print(1)"}).status == 200)
            yield port
        finally:
            balancer.kill()
            balancer.wait()

    def _balance(self, path: str, port: int) -> subprocess.Popen[bytes]:
        """Start a balancer with its control socket at this path."""
        with open(path + ".cfg", "w", encoding="utf-8") as file:
            file.write(self._configuration(path, port))
        return subprocess.Popen(
            ["haproxy", "-db", "-f", path + ".cfg"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def _configuration(self, path: str, listening: int) -> str:
        with open(os.path.join(ROOT, "deploy", "haproxy.cfg"), encoding="utf-8") as file:
            text = file.read()
        changes = {
            "bind :8080": "bind 127.0.0.1:%d" % listening,
            "/run/haproxy.sock": path,
            "bind 127.0.0.1:8404": "bind 127.0.0.1:%d" % free_port(),
            "rise 1 maxconn 4 ": "rise 1 maxconn %d " % self.slots,
        }
        changes.update({"10.0.0.1%d:5000" % (n + 1): "127.0.0.1:%d" % port for n, port in enumerate(self.ports)})
        for before, after in changes.items():
            assert before in text, before
            text = text.replace(before, after)
        return text

    def tell(self, command: str) -> str:
        """Give the balancer a command and return what it says."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(30)
            sock.connect(self._socket)
            sock.sendall(command.encode() + b"\n")
            said = b""
            while True:
                part = sock.recv(1 << 16)
                if not part:
                    return said.decode()
                said += part

    def up(self) -> List[str]:
        """Return the nodes that the balancer has as up."""
        try:
            lines = self.tell("show stat").splitlines()
        except OSError:
            return []
        rows = [line.split(",") for line in lines if line.startswith("runs,n")]
        return [row[1] for row in rows if re.match(r"UP", row[17])]

    def requests_of(self, backend: str) -> int:
        """Return how many requests the balancer has given to one of its backends."""
        (row,) = [line for line in self.tell("show stat").splitlines() if line.startswith(backend + ",BACKEND,")]
        return int(row.split(",")[7])

    def await_up(self, count: int) -> None:
        """Wait until so many nodes are up."""
        await_that(lambda: len(self.up()) == count, 60)

    def kill(self, place: int) -> None:
        """Kill a node's server."""
        self.nodes[place].process.kill()
        self.nodes[place].process.wait()

    def start(self, place: int) -> None:
        """Start a node again, at its port."""
        self.nodes[place] = self._node(self.ports[place])

    def restart(self, place: int) -> None:
        """Restart a node as an operator does, one after the other."""
        assert self.nodes[place].stop() == 0
        self.start(place)
        self.await_up(3)

    def stop(self) -> None:
        """End everything."""
        self._balancer.send_signal(signal.SIGTERM)
        self._balancer.wait(90)
        for node in self.nodes:
            node.process.send_signal(signal.SIGCONT)
        ended = in_threads(3, lambda place: self.nodes[place].stop())
        assert not [each for each in ended if isinstance(each, Exception)], ended


class Answer(NamedTuple):
    """What came of one request: 0 for a connection that broke."""

    status: int
    seconds: float
    text: str


def ask(port: int, document: Any, source: str = "127.0.0.5", path: str = "/execute") -> Answer:
    """Send one request on a connection of its own."""
    started_s = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=90, source_address=(source, 0))
    try:
        body = json.dumps(document).encode()
        accept = "application/json, text/event-stream"
        connection.request("POST", path, body, {"Content-Type": "application/json", "Accept": accept})
        answer = connection.getresponse()
        status, text = answer.status, answer.read().decode()
    except (OSError, http.client.HTTPException) as error:
        status, text = 0, repr(error)
    finally:
        connection.close()
    return Answer(status, time.monotonic() - started_s, text)


class Callers:
    """Callers that each ask one request after the other until told to end; from addresses of their own, or from one."""

    def __init__(
        self,
        port: int,
        count: int,
        document: Callable[[int], Any],
        path: str = "/execute",
        source: Optional[str] = None,
    ) -> None:
        self._port, self._document, self._path, self._source = port, document, path, source
        self.answers: List[Answer] = []
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(place,)) for place in range(count)]
        for thread in self._threads:
            thread.start()

    def _work(self, place: int) -> None:
        number, source = place, self._source or "127.0.1.%d" % (place + 1)
        while not self._over.is_set():
            self.answers.append(ask(self._port, self._document(number), source, self._path))
            number += 7

    def end(self) -> List[Answer]:
        """Let each finish what it asks; return all answers."""
        self._over.set()
        for thread in self._threads:
            thread.join()
        return self.answers

    def during(self, seconds: float) -> float:
        """Return how many answers a second came during a time."""
        before, started_s = len(self.answers), time.monotonic()
        self._over.wait(seconds)
        return (len(self.answers) - before) / (time.monotonic() - started_s)
