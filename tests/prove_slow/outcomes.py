"""What a suite did in one place, read from the lines that it wrote, and what differs between two places."""

from __future__ import annotations

import collections
import json
from dataclasses import dataclass
from typing import Counter, Dict, List, NamedTuple, Optional, Tuple

GOOD = ("passed", "xfailed", "xpassed")  # as pytest sees it; with strict marks an unexpected pass is a failure
BAD = ("failed", "error")
ABSENT = "not run"


class SuiteError(Exception):
    """A suite could not be obtained, or could not be run at all."""


@dataclass(frozen=True)
class Outcomes:
    """How each test of a suite ended, by its name; `interrupted` is the test at which the whole run broke off."""

    tests: Dict[str, Tuple[str, str]]
    interrupted: Optional[str]
    finished: bool

    @property
    def counts(self) -> Counter[str]:
        """How many tests ended in which way."""
        return collections.Counter(outcome for outcome, _ in self.tests.values())


class Difference(NamedTuple):
    """One test that didn't end in the same way in both places."""

    name: str
    outside: str
    inside: str
    reason: str

    @property
    def lost(self) -> bool:
        """Whether the run inside did worse: what passed outside must pass inside, and nothing may fail there alone."""
        if self.outside in BAD:
            return False
        return self.inside in BAD or (self.outside in GOOD and self.inside not in GOOD)


def read(text: str) -> Outcomes:
    """Return what the lines of `suite_script` say.

    Raises:
        SuiteError: a line is not one of its lines, or a test appears twice.
    """
    tests: Dict[str, Tuple[str, str]] = {}
    running: Optional[str] = None
    finished = False
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if not line:
            continue
        try:
            kind, *words = json.loads(line)
        except ValueError:
            if number == len(lines) - 1:
                break  # cut off in the middle: the run was killed while it wrote
            raise SuiteError("line %d is not a record: %r" % (number + 1, line[:200])) from None
        if kind == "start":
            running = words[0]
        elif kind == "end":
            name, outcome, reason = words
            if name in tests:
                raise SuiteError("the test %s ended twice" % name)
            tests[name], running = (outcome, reason), None
        elif kind == "finished":
            finished = True
    return Outcomes(tests, running, finished)


def compare(outside: Outcomes, inside: Outcomes) -> List[Difference]:
    """Return every test whose outcome differs, in order of their names."""
    found = []
    for name in sorted(set(outside.tests) | set(inside.tests)):
        before, _ = outside.tests.get(name, (ABSENT, ""))
        after, reason = inside.tests.get(name, (ABSENT, ""))
        if before != after:
            found.append(Difference(name, before, after, reason))
    return found
