"""The picture: p50 of every job on every server, as bars on a logarithmic axis. SVG, for light and dark pages."""

from __future__ import annotations

import math
from xml.sax.saxutils import escape

from benchmarks.outcome import Outcome
from benchmarks.report import label, ms

_WIDTH, _LEFT, _RIGHT, _BAR, _GAP, _TOP = 860, 170, 90, 13, 14, 84
_COLOURS = ("#2f6fde", "#8a8f98", "#d9822b", "#8e5bb5", "#2e9e6b", "#c2455e")

_STYLE = """\
text { font: 12px system-ui, sans-serif; fill: #1f2328 }
.title { font-weight: 600; font-size: 15px } .small { font-size: 11px } .quiet { fill: #59636e }
.page { fill: #ffffff } .grid { stroke: #d1d9e0 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .quiet { fill: #9198a1 } .page { fill: #0d1117 } .grid { stroke: #30363d }
}
"""


def draw(outcome: Outcome) -> str:
    """Return the SVG. The axis begins at a power of ten, not at 0, and the title says that it is logarithmic."""
    values = {key: 1000 * figures.p(0.5) for key, figures in outcome.results.items()}
    low, high = math.floor(math.log10(min(values.values()))), math.ceil(math.log10(max(values.values())))
    span = max(1, high - low)

    def across(value: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (math.log10(value) - low) / span

    group = _BAR * len(outcome.servers) + _GAP
    bottom = _TOP + group * len(outcome.jobs)
    parts: list[str] = []
    for power in range(low, low + span + 1):
        x = across(10.0**power)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP - 6}" y2="{int(bottom)}"/>')
        parts.append(_text(x, bottom + 16, f"{10.0**power:g} ms", "small quiet", "middle"))
    for row, job in enumerate(outcome.jobs):
        top = _TOP + row * group
        parts.append(_text(_LEFT - 10, top + (group - _GAP) / 2 + 4, job.title, "", "end"))
        for place, name in enumerate(outcome.servers):
            value, y = values[job.name, name], top + place * _BAR
            bar = '<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>'
            parts.append(bar % (_LEFT, y, across(value) - _LEFT, _BAR - 2, _COLOURS[place % len(_COLOURS)]))
            parts.append(_text(across(value) + 4, y + _BAR - 3, ms(value / 1000), "small"))
    return _page(bottom + 30, _legend(outcome) + parts)


def _legend(outcome: Outcome) -> list[str]:
    parts = [_text(16, 26, "One request at a time, from connecting to the last byte of the answer", "title")]
    parts.append(_text(16, 44, "Median in milliseconds; shorter is better; logarithmic axis", "small quiet"))
    x = 16.0
    for place, name in enumerate(outcome.servers):
        parts.append(f'<rect x="{x:.0f}" y="55" width="11" height="11" fill="{_COLOURS[place % len(_COLOURS)]}"/>')
        parts.append(_text(x + 16, 65, label(name), "small"))
        x += 40 + 6.5 * len(label(name))
    return parts


def _text(x: float, y: float, words: str, kind: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(words)}</text>'


def _page(height: float, parts: list[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {int(height)}" role="img"'
    head += f' aria-label="Median time of each job on each server">\n<style>\n{_STYLE}</style>\n'
    return head + f'<rect class="page" width="{_WIDTH}" height="{int(height)}"/>\n' + "\n".join(parts) + "\n</svg>\n"
