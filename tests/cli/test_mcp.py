"""`pyexec mcp`, as a client starts it: one message a line, nothing else on the stream, and the end when it should."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional

import pytest
import stand_in
from processes import SYS_PTRACE, await_that, descendants, has_capability
from rpc import LEGACY, META, call, legacy, modern, texts
from support import PATIENCE_S, ROOT

CHART = "import matplotlib.pyplot as plt\nplt.plot([1, 2])"


class Client:
    """A process of `pyexec mcp`, and its streams."""

    started = 0

    def __init__(self, *flags: str, environment: Optional[Dict[str, str]] = None, python: str = sys.executable) -> None:
        Client.started += 1
        uid_base = 50000000 + 1000 * (os.getpid() % 10000) + 20 * Client.started
        command = [python, "-m", "pyexec", "mcp", "--uid-base", str(uid_base), *flags]
        clean = {"PYTHONPATH": ROOT, "PATH": os.environ["PATH"], "PYTHONWARNINGS": "error", **(environment or {})}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean, cwd="/"
        )
        self._buffer = b""

    def send(self, *messages: Any) -> None:
        """Write messages, one a line; one that is bytes as it is."""
        assert self.process.stdin is not None
        for message in messages:
            line = message if isinstance(message, bytes) else json.dumps(message).encode("utf-8")
            self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()

    def line(self, timeout_s: float = PATIENCE_S) -> Optional[bytes]:
        """Return the next line, None if there is none in time or ever."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                return None
            part = os.read(self.process.stdout.fileno(), 1 << 20)
            if not part:
                assert self._buffer == b"", "half a line"
                return None
            self._buffer += part
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def receive(self) -> Any:
        """Return the next message."""
        line = self.line()
        assert line is not None, self.process.stderr.read() if self.process.poll() is not None else "nothing came"
        return json.loads(line.decode("utf-8"))

    def ask(self, message: Any) -> Any:
        """Send a request and return its answer, which must be the next one."""
        self.send(message)
        answer = self.receive()
        assert answer["id"] == message["id"]
        return answer

    def end(self) -> int:
        """Close the client's side and return the exit status; nothing but whole messages may have come."""
        assert self.process.stdin is not None and self.process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        status = self.process.wait(60)
        for line in (self._buffer + self.process.stdout.read()).splitlines():
            assert json.loads(line)["jsonrpc"] == "2.0"
        return status

    def close(self) -> None:
        """End it whatever it does, and close our ends of its streams."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert stream is not None
            with contextlib.suppress(BrokenPipeError):
                stream.close()


@pytest.fixture
def client() -> Iterator[Client]:
    """A client whose server must end well."""
    running = Client()
    try:
        yield running
        assert running.end() == 0
    finally:
        running.close()


@contextlib.contextmanager
def started(*flags: str, **more: Any) -> Iterator[Client]:
    """A client with flags of its own."""
    running = Client(*flags, **more)
    try:
        yield running
    finally:
        running.close()


INITIALIZE = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}


def test_a_session_of_the_older_revisions(client: Client) -> None:
    assert client.ask(legacy("initialize", INITIALIZE))["result"]["protocolVersion"] == LEGACY
    client.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
    assert client.ask(legacy("ping", id="p"))["result"] == {}
    (tool,) = client.ask(legacy("tools/list", id=2))["result"]["tools"]
    assert tool["name"] == "execute_python"
    result = client.ask(legacy("tools/call", call(), id=3))["result"]
    assert result == {"content": [{"type": "text", "text": "42"}], "isError": False}


def test_a_session_of_2026_07_28(client: Client) -> None:
    assert client.ask(modern("server/discover"))["result"]["capabilities"] == {"tools": {}}
    assert client.ask(modern("tools/list", id=2))["result"]["resultType"] == "complete"
    assert texts(client.ask(modern("tools/call", call(), id=3))["result"]) == ["42"]
    assert client.ask(modern("ping", id=4))["error"]["code"] == -32601
    meta = dict(META, **{"io.modelcontextprotocol/protocolVersion": "2027-01-01"})
    error = client.ask(legacy("tools/list", {"_meta": meta}))["error"]
    assert (error["code"], error["data"]["requested"]) == (-32022, "2027-01-01")


def test_both_eras_in_one_session(client: Client) -> None:
    """A client that probes, and begins anew as an older one would."""
    assert client.ask(modern("server/discover"))["result"]["supportedVersions"]
    assert client.ask(legacy("initialize", INITIALIZE))["result"]["serverInfo"]["name"] == "pyexec"
    assert "resultType" in client.ask(modern("tools/list"))["result"]
    assert "resultType" not in client.ask(legacy("tools/list"))["result"]


@pytest.mark.parametrize(
    "line, code",
    [(b"{", -32700), (b"[]", -32600), (b"1", -32600), (b'{"jsonrpc": "2.0", "id": null, "method": "x"}', -32600)],
)
def test_a_line_that_is_no_message_is_answered_and_the_session_goes_on(client: Client, line: bytes, code: int) -> None:
    client.send(line)
    answer = client.receive()
    assert (answer["id"], answer["error"]["code"]) == (None, code)
    client.send(b"", b"   ", b'{"jsonrpc": "2.0", "method": "x"}\r')
    assert client.ask(legacy("ping"))["result"] == {}


def test_batches_are_of_one_revision(client: Client) -> None:
    batch = [legacy("ping", id=1), {"jsonrpc": "2.0", "method": "x"}, legacy("tools/call", call(), id=2), 7]
    client.send(batch)
    assert client.receive()["error"]["code"] == -32600
    client.ask(legacy("initialize", dict(INITIALIZE, protocolVersion="2025-03-26")))
    client.send(batch)
    answers = {answer["id"]: answer for answer in client.receive()}
    assert answers[1]["result"] == {} and answers[None]["error"]["code"] == -32600
    assert texts(answers[2]["result"]) == ["42"] and len(answers) == 3
    client.send([{"jsonrpc": "2.0", "method": "x"}])  # which nothing answers
    assert client.ask(legacy("ping", id=5))["result"] == {}


def test_what_is_for_http_alone_does_not_bound_the_user(client: Client) -> None:
    (tool,) = client.ask(legacy("tools/list"))["result"]["tools"]
    assert "100000 characters of code" in tool["description"] and "a minute" not in tool["description"]
    for number in range(12):
        assert texts(client.ask(legacy("tools/call", call("print(1)" + " " * 3000), id=number))["result"]) == ["1"]
    too_long = client.ask(legacy("tools/call", call("#" * 100001)))["result"]
    assert too_long["isError"] and "at most 100000 characters" in texts(too_long)[0]


def test_a_setting_of_the_user_counts() -> None:
    with started("--code-chars", "50", "--wall-s", "0.5") as client:
        assert "at most 50 characters" in texts(client.ask(legacy("tools/call", call("#" * 51)))["result"])[0]
        assert "time limit of 0.5 seconds" in texts(client.ask(legacy("tools/call", call("while 1: 1")))["result"])[0]


def test_imports_are_free_for_an_admin_only() -> None:
    for flags, said in (((), "Import of 'os' is not allowed"), (("--admin",), "posix")):
        with started(*flags) as client:
            assert said in texts(client.ask(legacy("tools/call", call("import os\nprint(os.name)")))["result"])[0]
            description = client.ask(legacy("tools/list"))["result"]["tools"][0]["description"]
            assert ("Any module that is installed" in description) == bool(flags)


def test_calls_overlap_and_no_more_run_than_may() -> None:
    """Two that wait for each other's file could not both end if they ran one after the other."""
    with started("--max-runs", "2") as client:
        for number in range(6):
            client.send(legacy("tools/call", call("import time\ntime.sleep(0.3)\nprint(%d)" % number), id=number))
        client.send(legacy("ping", id="p"))
        assert client.receive()["id"] == "p"  # while the others run or wait
        answers = [client.receive() for _ in range(6)]
        assert sorted((answer["id"], texts(answer["result"])[0]) for answer in answers) == [
            (number, str(number)) for number in range(6)
        ]


def test_calls_without_end_are_refused() -> None:
    with started("--max-runs", "1") as client:
        for number in range(258):
            client.send(legacy("tools/call", call("import time\ntime.sleep(9)"), id=number))
        for number in (256, 257):
            answer = client.receive()
            said = "256 calls have no answer yet; try again in 1 s."
            assert (answer["id"], texts(answer["result"]), answer["result"]["isError"]) == (number, [said], True)


def test_an_id_that_is_in_use_is_refused(client: Client) -> None:
    client.send(legacy("tools/call", call("import time\ntime.sleep(1)\nprint(1)"), id=7))
    client.send(legacy("tools/call", call(), id=7))
    assert client.receive()["error"]["code"] == -32600
    assert texts(client.receive()["result"]) == ["1"]
    assert texts(client.ask(legacy("tools/call", call(), id=7))["result"]) == ["42"]


def test_a_cancelled_call_is_not_answered(client: Client) -> None:
    client.send(legacy("tools/call", call("import time\ntime.sleep(2)\nprint(1)"), id="slow"))
    for params in ({"requestId": "slow", "reason": "enough"}, {"requestId": "never"}, {"requestId": [1]}, {}):
        client.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params})
    assert client.ask(legacy("ping"))["result"] == {}
    assert client.line(3) is None


def test_the_run_of_a_cancelled_call_ends() -> None:
    """Otherwise the next call would find the only slot taken."""
    with started("--max-runs", "1", "--wall-s", "300") as client:
        client.send(legacy("tools/call", call("import time\ntime.sleep(290)"), id="slow"))
        time.sleep(0.5)
        client.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "slow"}})
        assert texts(client.ask(legacy("tools/call", call(), id="next"))["result"]) == ["42"]


@pytest.mark.parametrize(
    "code",
    [
        'print(\'{"jsonrpc": "2.0", "id": 9, "result": {}}\')',
        "import sys\nfor stream in (sys.stdout, sys.stderr, sys.__stdout__): stream.write('x' * 100000 + '\\n')",
        "import os\nfor fd in range(3, 300):\n    try: os.write(fd, b'no protocol\\n')\n    except OSError: pass",
        "import os\nos.system('echo no protocol')\nos.write(1, b'no protocol\\n')",
        "import os\nos.write(2, b'\\n' * 1000)\nos._exit(3)",
        "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
    ],
)
def test_nothing_that_a_script_prints_reaches_the_stream(code: str) -> None:
    # One who writes to the channel of its run has nothing to say any more, and goes on to the time limit.
    with started("--admin", "--wall-s", "3") as client:
        answer = client.ask(legacy("tools/call", call(code), id="a"))
        assert "content" in answer["result"]
        assert client.ask(legacy("ping", id="b"))["result"] == {}
        assert client.line(0.2) is None


def test_the_stream_of_answers_is_open_to_nobody_else(client: Client) -> None:
    """What is written to standard output in this process or below it goes to the log."""
    client.ask(legacy("tools/call", call()))
    if not has_capability(SYS_PTRACE):  # the process is closed to all others, of the same uid too
        with pytest.raises(PermissionError):
            os.readlink("/proc/%d/fd/1" % client.process.pid)
        return
    ours = os.readlink("/proc/%d/fd/1" % client.process.pid)
    assert ours == os.readlink("/proc/%d/fd/2" % client.process.pid)
    assert client.process.stdout is not None
    stream = os.readlink("/proc/self/fd/%d" % client.process.stdout.fileno())
    for pid in descendants(client.process.pid):
        with contextlib.suppress(OSError):  # it ended meanwhile
            for name in os.listdir("/proc/%d/fd" % pid):
                with contextlib.suppress(OSError):
                    assert os.readlink("/proc/%d/fd/%s" % (pid, name)) != stream


def test_a_client_that_only_writes_gets_its_answers() -> None:
    """`printf … | pyexec mcp`: its side is closed before the first answer is there."""
    lines = [legacy("initialize", INITIALIZE, id=0)]
    lines += [legacy("tools/call", call("import time\ntime.sleep(0.5)\nprint(%d)" % n), id=n) for n in (1, 2)]
    with started() as client:
        client.send(*lines)
        client.process.stdin.write(json.dumps(legacy("ping", id="last")).encode())  # without a line break
        client.process.stdin.close()
        found = {answer["id"] for answer in (client.receive() for _ in range(4))}
        assert found == {0, 1, 2, "last"} and client.line() is None
        assert client.process.wait(60) == 0


@pytest.mark.parametrize("how", ["closes both", "SIGTERM", "SIGINT"])
def test_the_end_leaves_nothing(how: str) -> None:
    with started() as client:
        client.ask(legacy("ping"))
        client.send(legacy("tools/call", call("import time\ntime.sleep(9)"), id=1))
        below = descendants(client.process.pid)
        assert below
        if how == "closes both":
            client.process.stdout.close()
            client.process.stdin.close()
        else:
            client.process.send_signal(getattr(signal, how))
        assert client.process.wait(30) == 0
        assert lines_of(client.process.stderr.read()) == ["pyexec: serving on standard input and output"]
        await_that(lambda: not [pid for pid in below if os.path.exists("/proc/%d" % pid)])


def test_a_line_that_is_too_long_ends_the_session() -> None:
    with started() as client:
        client.ask(legacy("ping"))
        with contextlib.suppress(BrokenPipeError):
            for _ in range(70):
                client.process.stdin.write(b" " * (1 << 20))
            client.process.stdin.flush()
        assert client.process.wait(60) == 1
        assert b"a line of more than 64 MiB ends the session" in client.process.stderr.read()


def test_large_files_pass_in_both_directions(client: Client) -> None:
    content = "eHh4" * 700000
    code = "data = open('a', 'rb').read()\nopen('b', 'wb').write(data + b'\\0')\nprint(len(data))"
    arguments = call(code, files={"a": {"content_base64": content}}, return_files=["b"])
    result = client.ask(legacy("tools/call", arguments))["result"]
    assert texts(result) == ["2100000\nb: 2100001 bytes, attached"]
    assert len(result["content"][1]["resource"]["blob"]) == 2800004


def test_wrong_flags_say_so_and_leave_the_stream_clean() -> None:
    for flags in (("--wall-s", "x"), ("--no-such-flag",), ("file.py",)):
        with started(*flags) as client:
            assert client.process.wait(30) == 2
            assert client.process.stdout.read() == b"" and b"pyexec" in client.process.stderr.read()


def lines_of(text: bytes) -> List[str]:
    return text.decode("utf-8").splitlines()


def test_the_log_goes_to_standard_error() -> None:
    with started() as client:
        client.ask(legacy("ping"))
        client.process.stdin.close()
        assert client.process.wait(60) == 0
        assert lines_of(client.process.stderr.read()) == ["pyexec: serving on standard input and output"]


def test_a_chart_is_a_picture_before_its_library_is_loaded_and_then_the_list_changes() -> None:
    with tempfile.TemporaryDirectory() as above:
        with started("--modules", "+matplotlib", python=stand_in.python_with_it(Path(above))) as client:
            result = client.ask(modern("tools/call", call(CHART)))["result"]
            assert [block["type"] for block in result["content"]] == ["text", "image"], result
            assert "Line2D" not in texts(result)[0]

            def said(version: str) -> bool:
                (tool,) = client.ask(modern("tools/list"))["result"]["tools"]
                return "matplotlib %s" % version in tool["description"]

            assert said(stand_in.METADATA_VERSION)
            await_that(lambda: said(stand_in.VERSION), 60)
            saved = CHART + "\nplt.savefig('a.png')\nplt.show()"
            result = client.ask(modern("tools/call", call(saved)))["result"]
            assert [block["type"] for block in result["content"]] == ["text", "image"], result
