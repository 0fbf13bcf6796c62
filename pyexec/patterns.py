"""Patterns of file names: `*` within one component of a path, `**` for any number of directories. Pure.

Nothing else is special: not `?` or `[`, nor a dot at the beginning of a name. This isn't `fnmatch`, which turns
patterns into regular expressions: on Python 3.8 their time grows exponentially with the number of stars, under the
interpreter's lock. Here each literal piece is looked for once, from left to right, so the time is at most the pattern's
length times the name's.
"""

from __future__ import annotations

from typing import Sequence

STAR = "*"
_ANY_DEPTH = "**"


class Pattern:
    """One pattern, taken apart."""

    def __init__(self, text: str) -> None:
        """Take a relative path in its canonical spelling, as `rules.canonical` returns it, with stars or without."""
        parts = text.split("/")
        if parts[-1] == _ANY_DEPTH:  # "charts/**" means everything in it
            parts.append(STAR)
        # Runs of components between one "**" and the next, each component as the literal pieces around its stars.
        self._runs: list[list[list[str]]] = [[]]
        for part in parts:
            if part == _ANY_DEPTH:
                self._runs.append([])
            else:
                self._runs[-1].append(part.split(STAR))
        self._shortest = sum(map(len, self._runs))

    def matches(self, path: Sequence[str]) -> bool:
        """Return whether a path, given as its components, matches."""
        if len(path) < self._shortest:
            return False
        first, *middle = self._runs
        if not middle:
            return len(path) == len(first) and _run_at(first, path, 0)
        last = middle.pop()
        end = len(path) - len(last)
        if not _run_at(first, path, 0) or not _run_at(last, path, end):
            return False
        start = len(first)
        for run in middle:  # the leftmost place leaves most room for what follows
            while start + len(run) <= end and not _run_at(run, path, start):
                start += 1
            start += len(run)
        return start <= end


def _run_at(run: list[list[str]], path: Sequence[str], start: int) -> bool:
    return all(_component(pieces, path[start + index]) for index, pieces in enumerate(run))


def _component(pieces: list[str], name: str) -> bool:
    """Return whether a name consists of these pieces in this order, with anything between them."""
    first, *middle = pieces
    if not middle:
        return name == first
    last = middle.pop()
    end = len(name) - len(last)
    if len(first) > end or not name.startswith(first) or not name.endswith(last):
        return False
    start = len(first)
    for piece in middle:
        start = name.find(piece, start, end)
        if start < 0:
            return False
        start += len(piece)
    return True
