"""The tables, as text that is Markdown too."""

from __future__ import annotations

from typing import List, Sequence

from benchmarks import measure
from benchmarks.jobs import Job
from benchmarks.measure import CALLERS, Results
from benchmarks.targets import Target


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table whose columns line up, numbers to the right."""
    widths = [max(len(row[place]) for row in [list(head)] + [list(r) for r in rows]) for place in range(len(head))]
    rule = ["-" * widths[0]] + ["-" * (width - 1) + ":" for width in widths[1:]]
    lines = [head, rule] + list(rows)
    padded = [
        [
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths))
        ]
        for line in lines
    ]
    return "".join("| %s |\n" % " | ".join(line) for line in padded)


def _ms(seconds: float) -> str:
    return "%.*f" % (2 if seconds < 0.01 else 1 if seconds < 0.1 else 0, seconds * 1000)


def _short(number: float) -> str:
    return "%.3g" % number if number < 1000 else "%.0f" % number


def _against(results: Results, job: str, name: str, other: str) -> str:
    if name == other or (job, other) not in results:
        return ""
    low, high = measure.ratio_range(results, job, name, other)
    return "%s (%s–%s)" % (_short(measure.ratio(results, job, name, other)), _short(low), _short(high))


def light(results: Results, targets: Sequence[Target], jobs: Sequence[Job]) -> str:
    """Return the table of light load: milliseconds, and ratios with their quartiles over the rounds."""
    others = [name for name in ("fresh", "floor") if any(target.name == name for target in targets)]
    if any(target.name not in ("pyexec", "floor", "fresh", "bubblewrap") for target in targets):
        others.append("pyexec")
    rows: List[List[str]] = []
    for job in jobs:
        for target in targets:
            figures = results[job.name, target.name]
            row = [job.title, target.label, _ms(figures.p(0.5)), _ms(figures.p(0.95))]
            row.append(_ms(figures.p(0.5, kept=True)) if figures.kept else "")
            rows.append(row + [_against(results, job.name, target.name, other) for other in others])
    head = ["job", "server", "p50 ms", "p95 ms", "p50 ms, kept connection"]
    return table(head + ["p50 / " + other for other in others], rows)


def throughput(results: Results, targets: Sequence[Target], jobs: Sequence[Job]) -> str:
    """Return the table of closed loops: answers a second, and as a multiple of the fresh interpreter's."""
    known = any(target.name == "fresh" for target in targets)
    rows: List[List[str]] = []
    for job in jobs:
        for target in targets:
            figures = results[job.name, target.name]
            row = [job.title, target.label] + [_short(figures.rate(callers)) for callers in CALLERS]
            if known:
                row += [_short(measure.rate_ratio(results, job.name, n, target.name, "fresh")) for n in CALLERS]
            rows.append(row)
    head = ["job", "server"] + ["a second, %d caller%s" % (n, "s" if n > 1 else "") for n in CALLERS]
    return table(head + (["/ fresh, %d" % n for n in CALLERS] if known else []), rows)
