"""Rules of `hints` about what models send that isn't a plain script.

Each looks at a `Scene` and returns its advice, or None where it doesn't apply; `hint_rules` has their order.
"""

from __future__ import annotations

import re

from pyexec.api.hint_scene import LINE_BREAK, Scene

_SYNTAX = ("SyntaxError", "IndentationError", "TabError")
_FENCES = ("```", "~~~")
_ENTITIES = ("&lt;", "&gt;", "&amp;", "&quot;", "&#39;", "&#x27;")
_CONSTANTS = {"true": "True", "false": "False", "null": "None"}
# What is a command rather than the negation of a variable, as other languages write it.
_COMMANDS = (
    "ls pip pip3 python python3 conda cat pwd echo head tail wc find grep which git curl wget nvidia-smi du df uname"
)
_ASSIGNED = re.compile(r"[\w, \t]{1,100}= ?(?:!(?:" + "|".join(_COMMANDS.split()) + r")\b|%\w)")
_ASKED = re.compile(r"\?{1,2}[\w.]{1,100}\Z|[\w.]{1,100}\?{1,2}\Z")


def shell_line(scene: Scene) -> str | None:
    """Advise on commands of a shell or of a notebook."""
    words = scene.line.split(None, 2)
    notebook = scene.line[:1] in ("!", "%") and scene.line.lstrip("!%")[:1].isalpha()
    pip = words[:1] in (["pip"], ["pip3"], ["conda"]) and words[1:2] == ["install"]
    if scene.kind not in _SYNTAX or not (notebook or pip or _ASSIGNED.match(scene.line)):
        return None
    return f"This is a plain Python script, without shell commands and %magic: remove the line. {scene.installed}"


def fences(scene: Scene) -> str | None:
    """Advise on code fences, with or without prose around them."""
    if scene.kind in _SYNTAX and (scene.line.startswith(_FENCES) or _has_fence(scene.job.code)):
        return "Remove the code fences (```) and the text around them: send the Python code alone."
    return None


def _has_fence(code: str) -> bool:
    """Return whether a line is a fence, outside of any string of several lines."""
    before, fence, _ = code.partition("```")
    return bool(fence) and not LINE_BREAK.split(before)[-1].strip() and "'''" not in before and '"""' not in before


def question(scene: Scene) -> str | None:
    """Advise on a question to a notebook."""
    if scene.kind in _SYNTAX and _ASKED.match(scene.line):
        name = scene.line.strip("?")
        return f"'?' asks a notebook for help: write help({name}), or remove the line."
    return None


def prompts(scene: Scene) -> str | None:
    """Advise on prompts of an interactive session."""
    continued = scene.line.startswith("... ") and (scene.line[4:].isidentifier() or set("=([:") & set(scene.line))
    if scene.kind in _SYNTAX and (scene.line.startswith(">>> ") or scene.line == ">>>" or continued):
        return "Remove the prompts '>>>' and '...', and the output between them: send the Python code alone."
    return None


def cells(scene: Scene) -> str | None:
    """Advise on marks of a notebook's cells."""
    # "In [1]: x" is the annotation of a variable.
    known = scene.kind == "SyntaxError" or scene.message.startswith(("name 'In'", "name 'Out'"))
    if known and scene.line.startswith(("In [", "Out[")) and "]:" in scene.line[:12]:
        return "Remove the marks 'In [1]:' and 'Out[1]:' of the notebook: send the Python code alone."
    return None


def entities(scene: Scene) -> str | None:
    """Advise on code that is HTML-escaped."""
    code = _outside_of_strings(scene.line)
    escaped = next((entity for entity in _ENTITIES if entity in code), None)
    named = scene.kind == "NameError" and scene.message.startswith(("name 'lt'", "name 'gt'", "name 'amp'"))
    if escaped is None or not (scene.kind == "SyntaxError" or named):
        return None
    return f"The code is HTML-escaped ('{escaped}'): send '<', '>', '&' and quotes as they are."


def escaped_twice(scene: Scene) -> str | None:
    """Advise on code that is escaped twice."""
    if scene.kind != "SyntaxError" or "after line continuation character" not in scene.message:
        return None
    _, _, after = _outside_of_strings(scene.line).partition("\\")
    if after[:1] not in ("n", "t", "r", '"', "'"):
        return None
    return r"The code was escaped twice: it has '\n' (or '\"') as text. Send real line breaks; in JSON each is '\n'."


def _outside_of_strings(line: str) -> str:
    """Return a line of code without what stands in its strings."""
    kept, quote, place = [], "", 0
    while place < len(line):
        character = line[place]
        if quote:
            place += character == "\\"
            quote = "" if character == quote else quote
        else:
            quote = character if character in "'\"" else ""
            kept.append(line[place : place + 2] if character == "\\" else character)
            place += character == "\\"
        place += 1
    return "".join(kept)


def await_at_top(scene: Scene) -> str | None:
    """Advise on `await` outside of a function."""
    outside = scene.message.startswith(("'await' outside", "'async with' outside", "'async for' outside"))
    if scene.kind != "SyntaxError" or not (outside or scene.message.startswith("asynchronous comprehension outside")):
        return None
    if not scene.may_import("asyncio"):
        return "'await' works only inside an 'async def' function."
    return "Put it into 'async def main():' and start that with 'import asyncio' and 'asyncio.run(main())'."


def display(scene: Scene) -> str | None:
    """Advise on functions that notebooks alone have."""
    if scene.kind == "NameError" and scene.message.startswith("name 'display'"):
        return "display() exists in notebooks only: use print(), and save pictures to files."
    if scene.kind == "NameError" and scene.message.startswith("name 'get_ipython'"):
        return "This is a plain Python script, not a notebook: remove get_ipython() and everything that uses it."
    return None


def constants_of_json(scene: Scene) -> str | None:
    """Advise on constants of JSON."""
    name = scene.message.partition("'")[2].partition("'")[0]
    if scene.kind == "NameError" and name in _CONSTANTS:
        return f"'{name}' is JSON; in Python it is {_CONSTANTS[name]}."
    return None
