"""What the server keeps of a body: nothing once it is refused, and no more than its job while that waits or runs.

The collector is off here, so that nothing depends on when it comes: what is in a cycle of references stays.
"""

from __future__ import annotations

import contextlib
import gc
import tracemalloc
import types
from typing import Any, Callable, Dict, Iterator, List

import pytest
from rpc import call, legacy, post
from servers import RunningServer
from support import MIB, ask, execute

from pyexec.api.execute import Execute
from pyexec.api.mcp.endpoint import Endpoint
from pyexec.api.metrics import Metrics
from pyexec.config import Config
from pyexec.http1.answer import Answer, Asked
from pyexec.http1.memory import AnswerBudget
from pyexec.http1.message import Head
from pyexec.job import ENDED, Job, Outcome
from pyexec.limits import Admission

Start = Callable[..., RunningServer]
SIZE = 2 * MIB
WIDE = "a" * SIZE + "\N{GRINNING FACE}"  # which makes it four bytes a character once it is text
CALL = '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"execute_python",%s}}'
REFUSED = {
    "unknown field": ("/execute", '{"code":"1","x":"%s"}' % WIDE),
    "malformed": ("/execute", '{"code":"1","x":"%s' % WIDE),
    "malformed inside": ("/execute", '{"code":"%s" 1}' % WIDE),
    "not an object": ("/execute", '["%s"]' % WIDE),
    "stdin": ("/execute", '{"code":"1","stdin_data":"%s"}' % WIDE),
    "code": ("/execute", '{"code":"%s"}' % WIDE),
    "key": ("/execute", '{"code":"1","api_key":"%s"}' % WIDE),
    "twice": ("/execute", '{"code":"%s","code":"x"}' % WIDE),
    "not Base64": ("/execute", '{"code":"1","attachments":[{"filename":"a","content_base64":"%s"}]}' % WIDE),
    "mcp: malformed": ("/mcp", CALL % ('"x":"%s" 1' % WIDE)),
    "mcp: name": ("/mcp", '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"%s"}}' % WIDE),
    "mcp: argument": ("/mcp", CALL % ('"arguments":{"code":"1","x":"%s"}' % WIDE)),
    "mcp: code": ("/mcp", CALL % ('"arguments":{"code":"%s"}' % WIDE)),
    "mcp: method": ("/mcp", '{"jsonrpc":"2.0","id":1,"method":"%s"}' % WIDE),
    "mcp: id": ("/mcp", '{"jsonrpc":"2.0","id":"%s","method":"ping"}' % WIDE),
    "mcp: batch": ("/mcp", '[{"jsonrpc":"2.0","id":"%s","method":"ping"}, 1]' % WIDE),
}
HELD = {
    "mcp: _meta": ("/mcp", CALL % ('"_meta":{"x":"%s"},"arguments":{"code":"1"}' % WIDE)),
    "mcp: beside": ("/mcp", '{"x":"%s",%s' % (WIDE, (CALL % '"arguments":{"code":"1"}')[1:])),
    "mcp: batch": (
        "/mcp",
        "[%s, %s]"
        % (
            CALL % '"arguments":{"code":"1"}',
            '{"jsonrpc":"2.0","id":2,"method":"ping","params":{"cursor":"%s"}}' % WIDE,
        ),
    ),
}


class Sandbox:
    """Runs nothing, and notes how much is in memory while it would."""

    data: Dict[str, str] = {}
    report = types.SimpleNamespace(installed=(), libraries={}, added=(), own_tree=True, python="3.11.2")

    def __init__(self) -> None:
        self.held: List[int] = []
        self.stdout = b""

    @contextlib.contextmanager
    def execution(self, job: Job, count: Callable[[int], None], presence: object) -> Iterator[Outcome]:
        self.held.append(tracemalloc.get_traced_memory()[0])
        yield Outcome(ENDED, 0, 0.1, self.stdout)


class Server:
    """POST /execute and POST /mcp over a sandbox that is made up."""

    def __init__(self, rate: int = 1000) -> None:
        config = Config.of(rate_per_minute=rate, rate_per_day=1000, charge_once=1, stdin_bytes=MIB)
        self.sandbox = Sandbox()
        parts: Any = (config, self.sandbox, Admission(config), AnswerBudget(config.answers_bytes), Metrics())
        self.execute = Execute(*parts)
        self.paths = {"/execute": self.execute, "/mcp": Endpoint(config, parts[1], self.execute)}

    def ask(self, path: str, text: str) -> Answer:
        head = Head("POST", path, "HTTP/1.1", {"x-request-id": "one"})
        with contextlib.ExitStack() as after:
            return self.paths[path](Asked(head, text.encode("utf-8"), "127.0.0.1", after))


@pytest.fixture
def made_up(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server of a test's own, with every allocation counted and the collector off; the parameter is its rate."""
    made = Server(getattr(request, "param", 1000))
    for path in made.paths:
        made.ask(path, "{}")
    gc.collect()
    gc.disable()
    tracemalloc.start()
    yield made
    tracemalloc.stop()
    gc.enable()


@pytest.mark.parametrize("made_up", [1, 1000], indirect=True)
@pytest.mark.parametrize("name", REFUSED)
def test_nothing_of_a_refused_body_stays(made_up: Server, name: str) -> None:
    path, text = REFUSED[name]
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(5):
        answer = made_up.ask(path, text)
        assert answer.kind != "ok" or "batch" in name
    assert not made_up.sandbox.held
    assert tracemalloc.get_traced_memory()[0] - before < SIZE // 2


@pytest.mark.parametrize("name", HELD)
def test_a_run_holds_nothing_of_its_message_but_the_job(made_up: Server, name: str) -> None:
    path, text = HELD[name]
    before = tracemalloc.get_traced_memory()[0]
    assert made_up.ask(path, text).kind == "ok"
    (held,) = made_up.sandbox.held
    assert held - before < SIZE // 2


def test_an_answer_counts_as_what_it_holds(made_up: Server) -> None:
    """A control character is one byte of what was collected, and six of the answer."""
    for printed, least, most in ((b"x", 0, 0), (b"\x1b" * MIB, 6 * MIB, 7 * MIB)):
        made_up.sandbox.stdout = printed
        answer = made_up.ask("/execute", '{"code":"1"}')
        assert answer.kept is not None and least <= answer.kept.held <= most
        answer.kept.release()


# -- a server ---------------------------------------------------------------------------------------------------------


def resident(running: RunningServer) -> int:
    """Return the bytes of a server that are in memory."""
    with open("/proc/%d/status" % running.process.pid, encoding="ascii") as file:
        (line,) = [line for line in file if line.startswith("VmRSS")]
    return int(line.split()[1]) * 1024


@pytest.mark.parametrize("path", ["/execute", "/mcp"])
def test_a_server_does_not_grow_with_the_bodies_that_it_refuses(start_server: Start, path: str) -> None:
    """It grew by five bodies with each, up to gigabytes, while their caller was told to come again later."""
    running = start_server()
    size = 20 * MIB
    wide = "a" * size + "\N{GRINNING FACE}"

    def refused() -> None:
        if path == "/execute":
            assert ask(running.port, execute({"code": "1", "x": wide}), "POST").status in (400, 429)
        else:
            assert post(running.port, legacy("tools/call", call(x=wide))).status == 200

    for _ in range(2):  # what is kept for reuse is there then
        refused()
    before = resident(running)
    for _ in range(10):
        refused()
    assert resident(running) - before < 3 * size
