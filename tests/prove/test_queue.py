"""The memory of a server on which as many large uploads wait as may, at the sizes of the defaults.

As root, since the server lets nobody of its own uid look at its memory.
"""

from __future__ import annotations

import base64
import json
import signal
import threading
from typing import Any, Callable, Dict, List

import pytest
from figures import record
from processes import await_that, own_memory
from servers import RunningServer
from support import MIB, connect, execute, holding

Start = Callable[..., RunningServer]
BUDGET = 256 * MIB
LONG = {"code": "import time\ntime.sleep(600)"}
FILES = [{"filename": name, "content_base_64": base64.b64encode(bytes(8 * MIB)).decode()} for name in ("a", "b")]


def _padded(document: Dict[str, Any], size: int) -> bytes:
    """Return a document of a size, most of which is standard input in its longest spelling: six bytes for one."""
    document = dict(document, stdin_data="")
    left = size - len(json.dumps(document))
    document["stdin_data"] = "\x01" * (left // 6)
    body = json.dumps(document).encode("ascii")
    assert size - 6 < len(body) <= size
    return body


UPLOADS = {
    "files and input": _padded({"code": "1", "attachments": FILES}, 40 * 1000 * 1000),
    "input alone": _padded({"code": "1"}, 40 * 1000 * 1000),
}


@pytest.mark.parametrize("kind", sorted(UPLOADS))
def test_waiting_uploads_are_within_the_budget_of_bodies(kind: str, start_server: Start) -> None:
    """Thirty-two of 40 MB from sixteen addresses; those that find no room are told to come again."""
    running = start_server(max_runs=1, queue=100, queue_s=600, wall_s=3600)
    pid, body = running.process.pid, UPLOADS[kind]
    highest: List[int] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            highest.append(own_memory(pid))

    def upload(place: int) -> None:
        sock = connect(running.port, 600)
        opened.append(sock)
        sock.sendall(execute(body, ("X-Forwarded-For", "192.0.2.%d" % (place // 2 + 2))))
        told = sock.recv(1 << 16)  # nothing, once the server is ended
        if told:
            assert told.startswith(b"HTTP/1.1 503 "), told
            refused.append(place)

    opened = [connect(running.port)]
    refused: List[int] = []
    with holding(opened[0]):
        opened[0].sendall(execute(LONG))
        await_that(lambda: running.client.health()["active_runs"] == 1)
        before = own_memory(pid)
        watcher = threading.Thread(target=watch)
        watcher.start()
        uploads = [threading.Thread(target=upload, args=(place,), daemon=True) for place in range(32)]
        for thread in uploads:
            thread.start()
        await_that(lambda: running.client.health()["queued_requests"] + len(refused) == 32, 120)
        waiting = running.client.health()["queued_requests"]
        over.set()
        watcher.join()
        print("%s: %d wait, %d MiB at most" % (kind, waiting, (max(highest) - before) // MIB))
        assert waiting >= 4
        assert max(highest) - before < BUDGET + 64 * MIB
        running.process.send_signal(signal.SIGTERM)
        await_that(lambda: "draining" in running.log)
        running.process.send_signal(signal.SIGTERM)
        running.process.wait(60)
        for thread in uploads:
            thread.join()
    for sock in opened:
        sock.close()
    record("memory attacks on the server", 1)
