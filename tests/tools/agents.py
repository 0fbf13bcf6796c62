"""The generated parts of docs/agents.md: ten mistakes with their answers, and the tool's schemas for other interfaces.

`python tests/tools/agents.py` rewrites the page; `tests/test_docs.py` compares.
"""

from __future__ import annotations

import json
import os
import re
import sys
from typing import Any, Dict, List, Tuple

from support import ROOT

from pyexec.api.mcp import tool
from pyexec.api.mcp.tool import Server
from pyexec.config import Config

PAGE = os.path.join(ROOT, "docs", "agents.md")
_PNG = "from PIL import Image\nImage.effect_noise((1500, 900), 90).save('a.png', compress_level=0)"
# What the model did, the arguments that it sent. The last line of the answer stands on the page.
MISTAKES: List[Tuple[str, Dict[str, Any]]] = [
    ("prints nothing", {"code": "total = 1 + 1"}),
    ("imports what isn't allowed", {"code": "import os\nprint(os.listdir())"}),
    ("calls the argument otherwise", {"script": "print(1)"}),
    ("sends files as a list", {"code": "print(1)", "files": [{"name": "a.csv", "content": "x"}]}),
    ("sends a path for a name", {"code": "print(1)", "files": {"data/a.csv": "x,y"}}),
    ("pastes its data into the code", {"code": "data = '''%s'''" % ("1,2\n" * 600)}),
    ("asks for a file elsewhere", {"code": "print(1)", "return_files": ["/mnt/data/a.png"]}),
    ("never writes the file", {"code": "print(1)", "return_files": ["chart.png"]}),
    ("draws too large a picture", {"code": _PNG, "return_files": ["a.png"]}),
    ("loops without end", {"code": "while True:\n    pass"}),
]


def mistakes(answers: List[str]) -> str:
    """Return the table of mistakes, with these answers to them in order."""
    rows = ["| the model … | and is told |", "|---|---|"]
    for (what, _), answer in zip(MISTAKES, answers):
        last = answer.splitlines()[-1].replace("|", "\\|")
        rows.append("| %s | %s |" % (what, re.sub(r"\d{5,}", "…", last)))
    return "\n".join(rows)


def schemas() -> str:
    """Return the tool as function-calling interfaces want it."""
    described = tool.description(Server(Config.of()))
    name, parameters = tool.NAME, tool.schema(Config.of())
    forms = {
        "Anthropic": {"name": name, "description": described, "input_schema": parameters},
        "OpenAI": {"type": "function", "name": name, "description": described, "parameters": parameters},
    }
    return "\n\n".join("%s:\n\n```json\n%s\n```" % (whose, json.dumps(form, indent=1)) for whose, form in forms.items())


def written(page: str, part: str, text: str) -> str:
    """Return a page with this text in one of its parts."""
    start, end = ("<!-- written by tests/tools/agents.py: %s%s -->" % (word, part) for word in ("", "end of "))
    before, mark, rest = page.partition(start)
    _, other, after = rest.partition(end)
    assert mark and other, part
    return "%s%s\n%s\n%s%s" % (before, start, text, end, after)


def answers_of(call: Any) -> List[str]:
    """Return what the tool says to each mistake; `call` takes arguments and returns a text."""
    return [call(arguments) for _, arguments in MISTAKES]


def main() -> int:
    """Rewrite the page."""
    from rpc import ask_modern
    from servers import RunningServer

    running = RunningServer({"rate_per_minute": 1000, "rate_per_day": 1000})
    try:

        def call(arguments: Dict[str, Any]) -> str:
            parameters = {"name": tool.NAME, "arguments": arguments}
            return str(ask_modern(running.port, "tools/call", parameters).document["result"]["content"][0]["text"])

        with open(PAGE, encoding="utf-8") as file:
            page = file.read()
        page = written(written(page, "mistakes", mistakes(answers_of(call))), "schemas", schemas())
        with open(PAGE, "w", encoding="utf-8") as file:
            file.write(page)
    finally:
        running.stop()
    return 0


if __name__ == "__main__":
    sys.path.insert(0, ROOT)
    sys.exit(main())
