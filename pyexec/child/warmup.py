"""Harmless snippets that touch what scripts touch, run before there is any script.

A page that a fork shares is copied when it is first written, and a Python that only reads an object writes its count of
references: for a short script those copies cost more than its own code. So each zygote runs the snippets once before
it freezes its heap: what is loaded or made at first use is then there for all. And a child that finds itself idle runs
them again, the way it will run its job: the copies are made while nobody waits. Nothing of any job is in the process at
that time, so nothing can pass from one to another, and what a snippet prints goes nowhere.

Runs in the zygotes, and in the child, confined there.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Callable, Iterable, Iterator

from pyexec.child import script, streams
from pyexec.job import SCRIPT_NAME

# Children run these only: the others touch a megabyte each, to save a millisecond for a script that takes twenty times
# as long anyway.
FOR_CHILDREN = ("", "numpy", "math", "json")
# The module that a snippet needs → the snippet.
_SNIPPETS: dict[str, str] = {
    "": """\
class Point:
    def __init__(self, x, y):
        self.x, self.y = x, y
words = {}
for place, word in enumerate("the quick brown fox".split()):
    words[word] = Point(place, len(word) * 2.5)
try:
    words["dog"]
except KeyError as error:
    print(f"{error} of {len(words)}")
print(sum(i * i for i in range(100)), sorted(words, key=len)[0].upper(), [p.x for p in words.values()])
""",
    "math": "import math\nprint(math.sqrt(2), round(math.pi, 3))\n",
    "json": "import json\nprint(json.dumps(json.loads('{\"a\": [1, 2.5, null]}')))\n",
    "numpy": """\
import numpy as np
a = np.arange(1000, dtype=float).reshape(10, 100)
print((a * 2).sum(), a.mean(axis=0)[:2], (a @ a.T).shape)
""",
    "PIL": """\
import io
from PIL import Image, ImageDraw
image = Image.new("RGB", (64, 64), "white")
ImageDraw.Draw(image).line((0, 0, 63, 63), fill="red")
for kind in ("PNG", "JPEG"):
    file = io.BytesIO()
    image.save(file, kind)
    Image.open(io.BytesIO(file.getvalue())).convert("L").save(io.BytesIO(), "PNG")
""",
    "reportlab": """\
import io
from reportlab.pdfgen import canvas
page = canvas.Canvas(io.BytesIO())
page.drawString(72, 720, "A line of text")
page.save()
""",
    "fpdf": """\
from fpdf import FPDF
pdf = FPDF()
pdf.add_page()
pdf.set_font("helvetica", size=12)
pdf.cell(text="A line of text")
pdf.output()
""",
}


def snippets(modules: Iterable[str]) -> list[tuple[str, str]]:
    """Return (module, snippet) for those of these modules that are loaded, the cheapest first."""
    usable = {""} | {name for name in modules if name in sys.modules}
    return [(name, source) for name, source in _SNIPPETS.items() if name in usable]


def compile_only(source: str, check: Callable[[str], None] | None) -> None:
    """Compile a source as a script is compiled, so that the job's compilation finds its pages already copied."""
    compile(source.encode("utf-8"), SCRIPT_NAME, "exec", 0, True)
    if check is not None:
        check(source)


def run(source: str, directory: str, check: Callable[[str], None] | None) -> None:
    """Run one snippet as a script is run, its output thrown away, and put everything back.

    Args:
        directory: the working directory. check: what looks at a script's source once it has compiled.

    Raises:
        Exception: whatever the snippet raises.
    """
    with open(os.devnull, "w", encoding="utf-8") as nowhere, _put_back(), contextlib.redirect_stdout(nowhere):
        end = script.start(source, script.new_main(directory).__dict__, check, [])
        streams.flush()
        script.let_go(end)
    if end.error is not None:
        raise end.error


@contextlib.contextmanager
def _put_back() -> Iterator[None]:
    """Restore what a run leaves changed, since for a script that is the last thing its process does."""
    names = ("stdin", "stdout", "stderr", "getrecursionlimit", "setrecursionlimit")
    kept = {name: getattr(sys, name) for name in names}
    limit, hidden = sys.getrecursionlimit(), {name: sys.modules.get(name) for name in ("io", "__main__")}
    try:
        yield
    finally:
        for name in ("last_type", "last_value", "last_traceback", "last_exc"):
            vars(sys).pop(name, None)
        vars(sys).update(kept)
        sys.setrecursionlimit(limit)
        sys.modules.update({name: module for name, module in hidden.items() if module is not None})
