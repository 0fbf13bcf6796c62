"""Patterns of file names: what they match, and that nothing makes matching slow."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import FUZZ

from pyexec.errors import ValidationError
from pyexec.job import Job
from pyexec.patterns import Pattern
from pyexec.rules import MOST_STARS

MATCHES = {
    "*": "a a.txt .hidden **",
    "*.png": "a.png .png a.b.png",
    "charts/*": "charts/a charts/.b",
    "charts/**": "charts/a charts/b/c/d",
    "**/*.csv": "a.csv b/c.csv b/d/e.csv",
    "**": "a b/c .d/.e",
    "a/**/b": "a/b a/c/b a/b/b a/c/d/b",
    "**/a/*/b": "a/c/b x/a/c/b a/a/a/b a/x/b/a/y/b",
    "a*b*c": "abc a-b-c abbcc acbbc",
    "a**c": "ac abc",
    "[ab]?": "[ab]?",
    "**/x/**/y/**": "x/y/z a/x/b/y/c/d x/y/y/y",
}
DIFFERS = {
    "*": "a/b",
    "*.png": "a.jpg png a.pngx b/a.png",
    "charts/*": "charts charts/b/c chart/a",
    "charts/**": "charts xcharts/a",
    "**/*.csv": "a.csv/b csv",
    "a/**/b": "a b b/a a/bc xa/b",
    "**/a/*/b": "a/b x/a/b a/c/d/b",
    "a*b*c": "ab ac acb abcd xabc",
    "a**c": "a/c",
    "ab*ba": "aba",
    "[ab]?": "ax",
    "**/x/**/y/**": "x/y y/x/a",
}


@pytest.mark.parametrize("pattern", MATCHES)
def test_what_a_pattern_matches(pattern: str) -> None:
    found = Pattern(pattern)
    assert [path for path in MATCHES[pattern].split() if not found.matches(path.split("/"))] == []


@pytest.mark.parametrize("pattern", DIFFERS)
def test_what_a_pattern_does_not_match(pattern: str) -> None:
    found = Pattern(pattern)
    assert [path for path in DIFFERS[pattern].split() if found.matches(path.split("/"))] == []


def _expression(pattern: str) -> str:
    """Return the pattern as a regular expression, the slow way."""
    text = re.escape(pattern).replace(r"\*", "*")
    parts = (text + "/*" if text.split("/")[-1] == "**" else text).split("/")
    anything = [r"(?:[^/]+/)*" if part == "**" else part.replace("*", "[^/]*") + "/" for part in parts]
    return "".join(anything) + r"\Z"


@FUZZ
@given(st.text("ab*/", min_size=1, max_size=8), st.text("ab*/", min_size=1, max_size=10))
def test_it_agrees_with_a_regular_expression(pattern: str, path: str) -> None:
    pattern, path = ("/".join(part for part in text.split("/") if part) or "a" for text in (pattern, path))
    assert Pattern(pattern).matches(path.split("/")) == bool(re.match(_expression(pattern), path + "/"))


def test_at_most_eight_stars() -> None:
    assert Job("1", return_files=("*" * MOST_STARS, "a" * 100)).return_files
    with pytest.raises(ValidationError, match=r"'return_files\[0\]' may have at most 8 stars; it has 9"):
        Job("1", return_files=("*a" * 9,))


def test_matching_takes_no_exponential_time() -> None:
    """A thousand of the longest names and deepest paths take less than one name does as a regular expression."""
    name, pattern = "a" * 255, "*a" * 7 + "*b"
    deep = [name] * 64
    work = Pattern(pattern), Pattern("**/a/" * 4 + pattern[-4:])
    started = time.thread_time()
    for _ in range(1000):
        assert not work[0].matches([name]) and not work[1].matches(deep)
    assert time.thread_time() - started < 5
    # The control, with a sixth of one name.
    slow = re.compile(re.sub(r"\*", ".*", pattern))
    started = time.thread_time()
    assert not slow.fullmatch(name[:40])
    assert time.thread_time() - started > 0.01
