"""An agent without a framework: a model that may run Python, by a loop of thirty lines and the standard library.

Any server with the chat API that most of them share will do, and a pyexec server on its default port:

    MODEL_URL=https://api.openai.com/v1 MODEL_KEY=... MODEL=gpt-5 python examples/agent.py "What is the 100th prime?"

Files that the model's scripts write are put below ./files.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from pathlib import Path
from typing import Any, Callable, Dict, List

from pyexec.client import Client, Result, ServiceError

Message = Dict[str, Any]
Model = Callable[[List[Message]], Message]

MOST_TURNS = 10
MOST_SHOWN = 8000  # characters of output that the model gets to read
INSTRUCTIONS = (
    "You can run Python with the tool run_python. Nothing is kept from one call to the next. Print what you want to"
    " see. Files that you write into the current directory go to the user."
)
RUN_PYTHON = {
    "type": "function",
    "function": {
        "name": "run_python",
        "description": "Run a Python script and return what it printed.",
        "parameters": {
            "type": "object",
            "properties": {"code": {"type": "string", "description": "the whole script"}},
            "required": ["code"],
        },
    },
}


def ask_model(messages: list[Message]) -> Message:
    """Return the model's next message."""
    body = {"model": os.environ["MODEL"], "messages": messages, "tools": [RUN_PYTHON]}
    request = urllib.request.Request(
        os.environ["MODEL_URL"].rstrip("/") + "/chat/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json", "Authorization": "Bearer " + os.environ.get("MODEL_KEY", "")},
    )
    with urllib.request.urlopen(request, timeout=300) as answer:
        message: Message = json.load(answer)["choices"][0]["message"]
    return message


def run_python(client: Client, code: str, directory: Path) -> str:
    """Run a script and return what to tell the model; refusals tell it what to do, so they are results as well."""
    try:
        result = client.execute(code, return_files=["**"])
    except ServiceError as error:
        run = error.document.get("execution_details", {})
        return "\n".join(filter(None, [str(error), run.get("stdout", "")[:MOST_SHOWN]]))
    save(result, directory)
    parts = [
        result.stdout[:MOST_SHOWN],
        result.stderr[-MOST_SHOWN:],  # a traceback's last line says what is wrong
        result.hint,
        *(f"[file {name}, {size} bytes]" for name, size in result.written.items()),
    ]
    return "\n".join(filter(None, parts)) or "Nothing was printed."


def save(result: Result, directory: Path) -> None:
    """Write what came back below a directory. The names are a script's own: relative, and without ".."."""
    for name, content in result.files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def answer(question: str, model: Model, client: Client, directory: Path) -> str:
    """Return the model's answer to a question, running scripts for it until it has one."""
    messages: list[Message] = [
        {"role": "system", "content": INSTRUCTIONS},
        {"role": "user", "content": question},
    ]
    for _ in range(MOST_TURNS):
        message = model(messages)
        messages.append(message)
        if not message.get("tool_calls"):
            return str(message["content"])
        for call in message["tool_calls"]:
            try:
                said = run_python(client, json.loads(call["function"]["arguments"])["code"], directory)
            except (ValueError, KeyError, TypeError) as error:
                said = f"The arguments must be a JSON object with 'code': {error!r}"
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": said})
    return "I have run too many scripts without coming to an answer."


if __name__ == "__main__":
    service = Client(os.environ.get("PYEXEC_URL", "http://127.0.0.1:5000"))
    print(answer(" ".join(sys.argv[1:]), ask_model, service, Path("files")))
