"""Rules of `hints` about standard input and arguments that a script expects and wasn't given.

Each looks at a `Scene` and returns its advice, or None where it doesn't apply; `hint_rules` has their order.
"""

from __future__ import annotations

import re
from typing import Iterator

from pyexec.api.hint_scene import LINE_BREAK, Scene

# What becomes of the empty text that is read where there is nothing: kinds of exceptions, and how their messages begin.
_OF_NOTHING = (
    ("ValueError", "invalid literal for int() with base 10: ''"),
    ("ValueError", "could not convert string to float: ''"),
    ("ValueError", "not enough values to unpack"),
    ("IndexError", "list index out of range"),
    ("IndexError", "string index out of range"),
    ("StopIteration", ""),
    ("JSONDecodeError", "Expecting value: line 1 column 1 (char 0)"),
)
_NAMES = re.compile(r"[^\W\d]\w{0,99}")
_MOST_NAMES = 1000  # of a line that are looked at
_MOST_LOOPS = 8  # around a line that are looked at
_ARGUMENTS = "A script gets no command-line arguments: give them defaults, or set sys.argv before they are parsed."


def no_stdin(scene: Scene) -> str | None:
    """Advise on an input() that found nothing."""
    if scene.kind != "EOFError" or scene.message != "EOF when reading a line":
        return None
    if scene.job.stdin:
        return f"input() asked for more lines than {scene.names.stdin} has."
    return f"input() found no standard input: send the lines that it reads in {scene.names.stdin}."


def empty_stdin(scene: Scene) -> str | None:
    """Advise on what became of reading standard input where there is none."""
    if scene.job.stdin or "stdin" not in scene.job.code:
        return None
    if not any(scene.kind == kind and scene.message.startswith(begun) for kind, begun in _OF_NOTHING):
        return None
    if "stdin" not in scene.line and _read_from_stdin(scene.job.code).isdisjoint(_names(scene.line)):
        return None
    return f"The script read standard input, and there was none: send it in {scene.names.stdin}."


def _read_from_stdin(code: str) -> set[str]:
    """Return the names to which lines assign what they make of standard input, or its functions."""
    found: set[str] = set()
    for line in LINE_BREAK.split(code):
        target, assigned, made = line.partition("=")
        if assigned and "stdin" in made and not made.startswith("="):
            found.update(_names(target))
    return found


def _names(text: str) -> Iterator[str]:
    return (found.group() for _, found in zip(range(_MOST_NAMES), _NAMES.finditer(text)))


def arguments(scene: Scene) -> str | None:
    """Advise on arguments of a command line, which argparse asks for or the script takes from sys.argv."""
    if scene.outcome.exit_code == 2 and "error: the following arguments are required" in scene.tail:
        return _ARGUMENTS
    missing = scene.kind == "IndexError" or (scene.kind == "ValueError" and scene.message.startswith("not enough"))
    return _ARGUMENTS if missing and "argv" in scene.line else None


def endless_input(scene: Scene) -> str | None:
    """Advise on a loop that asks again and again for input that isn't there."""
    if scene.job.stdin or "except" not in scene.job.code:
        return None
    lines = LINE_BREAK.split(scene.job.code)
    if not any(_asks_again(lines, number) for number in scene.places):
        return None
    return (
        f"There is no standard input, so each input() in the loop ends at once: send the lines in {scene.names.stdin}."
    )


def _asks_again(lines: list[str], number: int) -> bool:
    """Return whether a line is in a `while` that reads input and handles an exception."""
    if not 0 < number <= len(lines):
        return False
    indent, loops = _indent(lines[number - 1]), 0
    for start in range(number - 1, -1, -1):
        line = lines[start].strip()
        if not line or (_indent(lines[start]) >= indent and start < number - 1):
            continue
        indent = _indent(lines[start])
        if line.startswith("while") and loops < _MOST_LOOPS:
            loops += 1
            end = number
            while end < len(lines) and (not lines[end].strip() or _indent(lines[end]) > indent):
                end += 1
            body = "\n".join(lines[start:end])
            if "input(" in body and "except" in body:
                return True
    return False


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
