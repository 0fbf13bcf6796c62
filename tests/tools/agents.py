"""The generated parts of docs/agents.md: ten mistakes with their answers, and the tool's schemas for other interfaces.

`python tests/tools/agents.py` rewrites the page; `tests/test_docs.py` compares.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any, Dict, List, NamedTuple

from support import ROOT

from pyexec.api.mcp import tool
from pyexec.api.mcp.tool import Server
from pyexec.config import Config

PAGE = os.path.join(ROOT, "docs", "agents.md")
_DRAW = "from PIL import Image\npicture = Image.linear_gradient('L')\n"


class Mistake(NamedTuple):
    """What a model did, the arguments that it sent, and those that it sends once it has read the answer."""

    what: str
    arguments: Dict[str, Any]
    corrected: Dict[str, Any]


# The last line of each answer stands on the page.
MISTAKES = [
    Mistake("leaves code fences on", {"code": "```python\nprint(6 * 7)\n```"}, {"code": "print(6 * 7)"}),
    Mistake(
        "installs a library",
        {"code": "!pip install numpy\nimport numpy\nprint(numpy.arange(4).sum())"},
        {"code": "import numpy\nprint(numpy.arange(4).sum())"},
    ),
    Mistake(
        "awaits at the top level",
        {"code": "import asyncio\nprint(await asyncio.sleep(0, 'done'))"},
        {"code": "import asyncio\nasync def main():\n    print(await asyncio.sleep(0, 'done'))\nasyncio.run(main())"},
    ),
    Mistake("asks for input", {"code": "print(int(input()) * 2)"}, {"code": "print(int(input()) * 2)", "stdin": "21"}),
    Mistake("escapes line breaks twice", {"code": "x = 42\\nprint(x)"}, {"code": "x = 42\nprint(x)"}),
    Mistake(
        "draws and doesn't show it",
        {"code": _DRAW},
        {"code": _DRAW + "picture.save('a.png')", "return_files": ["a.png"]},
    ),
    Mistake(
        "imports what isn't allowed",
        {"code": "import os\nprint(os.listdir())"},
        {"code": "import pathlib\nprint(list(pathlib.Path().iterdir()))"},
    ),
    Mistake("calls the argument otherwise", {"script": "print(1)"}, {"code": "print(1)"}),
    Mistake(
        "writes to a directory that isn't there",
        {"code": "open('out/a.csv', 'w').write('1,2')"},
        {"code": "import pathlib\npathlib.Path('out').mkdir()\nopen('out/a.csv', 'w').write('1,2')"},
    ),
    Mistake(
        "loops without end",
        {"code": "n = 1\nwhile n:\n    n += 1"},
        {"code": "n = 1\nwhile n < 9:\n    n += 1\nprint(n)"},
    ),
]


def mistakes(answers: List[str]) -> str:
    """Return the table of mistakes, with these answers to them in order."""
    rows = ["| the model … | and is told |", "|---|---|"]
    for mistake, answer in zip(MISTAKES, answers):
        last = answer.splitlines()[-1].replace("|", "\\|")
        rows.append("| %s | %s |" % (mistake.what, last))
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
    return [call(mistake.arguments) for mistake in MISTAKES]


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
