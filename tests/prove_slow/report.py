"""`docs/prove-slow.md`: one section for each proof, with the date and the kind of machine that it was made on.

A proof that runs alone replaces its own section and leaves the others as they are.
"""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Sequence

HEAD = """# What `make prove-slow` found

Proofs that take too long to run for every change. They are repeated before each release; every section says when, and
on what kind of machine. Written by `tests/prove_slow`; don't edit by hand.
"""
_MARKS = ("<!-- prove-slow %s: start -->", "<!-- prove-slow %s: end -->")


@dataclass(frozen=True)
class Section:
    """What one proof found, as Markdown without its heading, and whether the claim held."""

    title: str
    body: str
    held: bool


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table, numbers with separators."""
    lines = [head, ["---"] * len(head)]
    lines += [[f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in rows]
    return "\n".join("| %s |" % " | ".join(cell.replace("|", "\\|") for cell in line) for line in lines)


def machine() -> str:
    """Return the kind of machine: no name of a host, no path."""
    system = re.match(r"\d+\.\d+", platform.release())
    user = "as root" if os.geteuid() == 0 else "as an ordinary user"
    return "Linux %s on %s, Python %s, %d processors, %s" % (
        system.group() if system else "?",
        platform.machine(),
        platform.python_version(),
        len(os.sched_getaffinity(0)),
        user,
    )


def write(path: str, name: str, section: Section) -> None:
    """Put a section into the file, in place of the one of that name."""
    text = HEAD
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            text = file.read()
    start, end = (mark % name for mark in _MARKS)
    verdict = "Held" if section.held else "**Did not hold**"
    block = "%s\n## %s\n\n%s on %s: %s.\n\n%s\n%s" % (
        start,
        section.title,
        verdict,
        datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        machine(),
        section.body.strip(),
        end,
    )
    old = re.compile(re.escape(start) + ".*?" + re.escape(end), re.DOTALL)
    if old.search(text):
        text = old.sub(lambda _: block, text)
    else:
        text = text.rstrip() + "\n\n" + block + "\n"
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
