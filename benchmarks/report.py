"""The tables, as text that is Markdown too."""

from __future__ import annotations

import os
import platform
from typing import Sequence

from benchmarks import goals, measure
from benchmarks.measure import CALLERS, quantile
from benchmarks.outcome import Outcome
from benchmarks.targets import LABELS, version

MIB = 1 << 20


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table whose columns line up, numbers to the right."""
    lines = [list(head)] + [list(row) for row in rows]
    widths = [max(3, *(len(line[place]) for line in lines)) for place in range(len(head))]
    # A column of words is one whose first cell does not begin like a number.
    words = [place == 0 or not any(row[place][:1].isdigit() for row in rows) for place in range(len(head))]
    rule = ["-" * width if left else "-" * (width - 1) + ":" for width, left in zip(widths, words)]
    text = ""
    for line in [lines[0], rule] + lines[1:]:
        cells = [c.ljust(width) if left else c.rjust(width) for c, width, left in zip(line, widths, words)]
        text += f"| {' | '.join(cells)} |\n"
    return text


def label(name: str) -> str:
    """Return what a server is called in tables."""
    return LABELS.get(name, name)


def ms(seconds: float) -> str:
    """Return milliseconds with as many digits as mean something."""
    digits = 2 if seconds < 0.01 else 1 if seconds < 0.1 else 0
    return f"{seconds * 1000:.{digits}f}"


def short(number: float) -> str:
    """Return a ratio or rate with three digits."""
    digits = 0 if number >= 100 else 1 if number >= 10 else 2 if number >= 1 else 3
    return f"{number:.{digits}f}"


def machine() -> str:
    """Return what it was measured on, in a line."""
    cores = len(os.sched_getaffinity(0))
    release = ".".join(platform.release().split(".")[:2])
    system = f"Linux {release}, {platform.machine()}"
    python = f"CPython {platform.python_version()} with {version()}"
    # What else was running; above a few tenths the milliseconds are worth little, and the ratios less than usual.
    busy = f"the load of the machine was {os.getloadavg()[0]:.1f} when it began"
    return f"Measured on {cores} cores, {system}, {python}; {busy}."


def light(outcome: Outcome) -> str:
    """Return the table of light load: milliseconds, and ratios, median and quartiles of the rounds."""
    second = any(name not in LABELS for name in outcome.servers)
    others = [name for name in ("fresh", "floor") if name in outcome.servers] + ["pyexec"] * second
    rows: list[list[str]] = []
    for job in outcome.jobs:
        for name in outcome.servers:
            figures = outcome.results[job.name, name]
            row = [job.title, label(name), ms(figures.p(0.5)), ms(figures.p(0.95))]
            row.append(ms(figures.p(0.5, kept=True)) if figures.kept else "")
            rows.append(row + [_against(outcome, job.name, name, other) for other in others])
    head = ["job", "server", "p50 ms", "p95 ms", "p50 ms, kept connection"]
    return table(head + ["p50 / " + label(other) for other in others], rows)


def _against(outcome: Outcome, job: str, name: str, other: str) -> str:
    if name == other:
        return "1"
    each = measure.ratios(outcome.results, job, name, other)
    median, low, high = (short(quantile(each, share)) for share in (0.5, 0.25, 0.75))
    return f"{median} ({low}–{high})"


def throughput(outcome: Outcome) -> str:
    """Return the table of closed loops: answers a second, and as a multiple of the fresh interpreter's."""
    known = "fresh" in outcome.servers
    rows: list[list[str]] = []
    for job in outcome.jobs:
        for name in outcome.servers:
            figures = outcome.results[job.name, name]
            row = [job.title, label(name)] + [short(figures.rate(callers)) for callers in CALLERS]
            if known:
                row += [short(measure.rate_ratio(outcome.results, job.name, n, name, "fresh")) for n in CALLERS]
            rows.append(row)
    head = ["job", "server"] + [f"a second, {n} caller{'s' if n > 1 else ''}" for n in CALLERS]
    return table(head + ([f"/ fresh, {n}" for n in CALLERS] if known else []), rows)


def starts(outcome: Outcome) -> str:
    """Return the table of the times from start to first answer."""
    base = quantile(outcome.starts["imports"], 0.5)
    rows = [["the imports alone, one interpreter", ms(base), "1"]]
    for name in outcome.starts:
        if name != "imports":
            median = quantile(outcome.starts[name], 0.5)
            rows.append([label(name) + ", start to first answer", ms(median), short(median / base)])
    return table(["what", "median ms", "ratio"], rows)


def memory(outcome: Outcome) -> str:
    """Return the table of memory."""
    base = outcome.one_process or 1
    rows = [["one interpreter with the same imports", f"{base / MIB:.1f}", "", "1", ""]]
    for name, held in outcome.memory.items():
        cells = [f"{held.fresh / MIB:.1f}", f"{held.used / MIB:.1f}"]
        rows.append([label(name)] + cells + [short(held.fresh / base), short(held.used / base)])
    return table(["whole process tree", "idle, MiB", "after 1,000 runs, MiB", "idle, ratio", "after, ratio"], rows)


def layers(outcome: Outcome) -> str:
    """Return the table of what each layer costs alone."""
    bare, idle = outcome.layers["fork and exit"]
    rows = []
    for name, (whole, calls) in outcome.layers.items():
        more = "" if name == "fork and exit" else f"{whole - bare:.0f}"
        # The pid namespace is made by the parent.
        within = "" if name in ("fork and exit", "pid_namespace") else f"{calls - idle:.0f}"
        rows.append([name, f"{whole:.0f}", more, within])
    return table(["a child with", "fork to reaped, µs", "more than without", "of it in the child's calls"], rows)


def soak(outcome: Outcome) -> str:
    """Return the table of what stays behind."""
    rows = []
    for name, (before, after) in outcome.soaks.items():
        for what, unit in (("pss_bytes", MIB), ("descriptors", 1), ("threads", 1), ("processes", 1)):
            a, b = getattr(before, what), getattr(after, what)
            cells = [f"{value / unit:.1f}" if unit > 1 else str(value) for value in (a, b)]
            rows.append([label(name), "memory, MiB" if unit > 1 else what] + cells + [f"{b / a:.3f}"])
    return table(["server", "what", "after 100 runs", f"after {outcome.soak_runs:,} runs", "ratio"], rows)


def verdicts(outcome: Outcome, name: str) -> str:
    """Return the table of goals."""
    rows = []
    for goal, measured, met in goals.judge(outcome, name):
        bound = f"at {'most' if goal.at_most else 'least'} {goal.bound:g}"
        rows.append([goal.what, bound, short(measured), "met" if met else "MISSED"])
    return table(["goal, " + label(name), "bound", "measured", "verdict"], rows) if rows else ""
