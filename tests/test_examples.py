"""examples/: each program as it is, with a scripted model in place of a real one."""

from __future__ import annotations

import http.server
import importlib.util
import json
import os
import subprocess
import sys
import threading
from typing import Any, Dict, List, Sequence

from support import ROOT

EXAMPLES = os.path.join(ROOT, "examples")


def _load(name: str) -> Any:
    specification = importlib.util.spec_from_file_location(name, os.path.join(EXAMPLES, name + ".py"))
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def _call(*codes: Any) -> Dict[str, Any]:
    """Return a message of a model that calls the tool, once for each script."""
    calls = [
        {
            "id": "call-%d" % place,
            "type": "function",
            "function": {
                "name": "run_python",
                "arguments": code if isinstance(code, str) else json.dumps({"code": code[0]}),
            },
        }
        for place, code in enumerate(codes)
    ]
    return {"role": "assistant", "content": None, "tool_calls": calls}


class Scripted:
    """A model that says what it is told to, and remembers what it has read."""

    def __init__(self, *messages: Dict[str, Any]) -> None:
        self.left, self.read = list(messages), []  # type: ignore[var-annotated]

    def __call__(self, messages: Sequence[Dict[str, Any]]) -> Dict[str, Any]:
        self.read = [message.get("content") for message in messages if message["role"] == "tool"]
        return self.left.pop(0)


def test_the_agent_recovers_from_errors_and_answers(server, tmp_path) -> None:
    agent = _load("agent")
    model = Scripted(
        _call(["print(1 /"], ["import os"]),
        _call("nonsense", '{"text": "1"}'),
        _call(["while True: pass"], ["!ls"]),
        _call(["open('a.txt', 'w').write('x')\nprint(6 * 7)"]),
        {"role": "assistant", "content": "It is 42."},
    )
    assert agent.answer("What is six times seven?", model, server.client, tmp_path) == "It is 42."
    said = model.read
    assert "SyntaxError" in said[0] and "Import of 'os' is not allowed" in said[1]
    assert said[2].startswith("The arguments must be a JSON object") and "KeyError('code')" in said[3]
    assert "time limit of 5 seconds" in said[4] and "Do less in one run" in said[4]
    assert "plain Python script" in said[5] and said[6] == "42\n\n[file a.txt, 1 bytes]"
    assert (tmp_path / "a.txt").read_text() == "x"


def test_the_agent_shows_why_a_script_failed_that_printed_much(server, tmp_path) -> None:
    agent = _load("agent")
    model = Scripted(_call(["print('x' * 20000)\n1 / 0"]), {"role": "assistant", "content": "No."})
    agent.answer("?", model, server.client, tmp_path)
    assert model.read[0].endswith("ZeroDivisionError: division by zero\n") and len(model.read[0]) < 9000


def test_the_agent_gives_up_in_the_end(server, tmp_path) -> None:
    agent = _load("agent")
    model = Scripted(*[_call(["print(1)"])] * 20)
    assert "too many scripts" in agent.answer("?", model, server.client, tmp_path) and len(model.left) == 10


def test_the_agent_speaks_the_api_that_it_says(server, tmp_path) -> None:
    """As a user starts it, with a server of the chat API that plays back a conversation."""
    asked: List[Any] = []
    replies = [_call(["print(2 ** 100)"]), {"role": "assistant", "content": "1267650600228229401496703205376"}]

    class Chat(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(
                (
                    self.path,
                    self.headers["Authorization"],
                    json.loads(self.rfile.read(int(self.headers["Content-Length"]))),
                )
            )
            body = json.dumps({"choices": [{"message": replies[len(asked) - 1]}]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Chat) as chat:
        threading.Thread(target=chat.serve_forever, daemon=True).start()
        environment = dict(
            os.environ,
            PYTHONPATH=ROOT,
            MODEL_URL="http://127.0.0.1:%d/v1/" % chat.server_port,
            MODEL_KEY="k",
            MODEL="m",
            PYEXEC_URL=server.url,
        )
        command = [sys.executable, os.path.join(EXAMPLES, "agent.py"), "Two", "to", "the", "hundredth?"]
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
        chat.shutdown()
    assert (done.stdout, done.stderr) == ("1267650600228229401496703205376\n", "")
    assert [path for path, _, _ in asked] == ["/v1/chat/completions"] * 2 and asked[0][1] == "Bearer k"
    first, second = (body for _, _, body in asked)
    assert first["messages"][1] == {"role": "user", "content": "Two to the hundredth?"} and first["model"] == "m"
    assert first["tools"][0]["function"]["name"] == "run_python"
    assert second["messages"][-1] == {
        "role": "tool",
        "tool_call_id": "call-0",
        "content": "1267650600228229401496703205376\n",
    }
