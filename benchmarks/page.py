"""Writes the measured parts of docs/performance.md, between their markers, and the picture beside it."""

from __future__ import annotations

import os

from benchmarks import picture, report
from benchmarks.outcome import Outcome
from benchmarks.targets import ROOT

PAGE = os.path.join(ROOT, "docs", "performance.md")
PICTURE = os.path.join(ROOT, "docs", "performance.svg")


def sections(outcome: Outcome) -> dict[str, str]:
    """Return the text of each part that this run measured, by the name in its markers."""
    found = {"machine": outcome.machine + "\n"}
    if outcome.results:
        found["light"] = report.light(outcome)
        if any(figures.rates for figures in outcome.results.values()):
            found["throughput"] = report.throughput(outcome)
    if outcome.starts:
        found["start"] = report.starts(outcome)
    if outcome.memory:
        found["memory"] = report.memory(outcome)
    if outcome.layers:
        found["layers"] = report.layers(outcome)
    if outcome.soaks:
        found["soak"] = report.soak(outcome)
    goals = report.verdicts(outcome, "pyexec")
    if goals:
        found["goals"] = goals
    return found


def filled(text: str, parts: dict[str, str]) -> str:
    """Return a page with its measured parts replaced. Raises ValueError if it has no markers for one of them."""
    for name, content in parts.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        if text.count(begin) != 1 or text.count(end) != 1:
            raise ValueError(f"docs/performance.md has no place, or several, for {name}")
        head, rest = text.split(begin)
        text = head + begin + "\n" + content + "\n" + end + rest.split(end)[1]
    return text


def write(outcome: Outcome) -> None:
    """Write the page and the picture."""
    with open(PAGE, encoding="utf-8") as file:
        text = file.read()
    text = filled(text, sections(outcome))
    with open(PAGE, "w", encoding="utf-8") as file:
        file.write(text)
    if outcome.results:
        with open(PICTURE, "w", encoding="utf-8") as file:
            file.write(picture.draw(outcome))
