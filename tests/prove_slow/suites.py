"""Proof: the libraries' own test suites end inside pyexec, with the admin key, exactly as outside.

A run inside is a request to a server, so that what is proved is what a caller gets; outside, the same interpreter runs
the same script beside it. What fails outside as well says nothing about pyexec. A test that passes outside must pass
inside: failing, being skipped or not being reached are all losses.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import os
import sys
from dataclasses import dataclass
from typing import Any, Dict, Iterator, List

from tests.prove_slow import places, sources
from tests.prove_slow.outcomes import ABSENT, BAD, Difference, Outcomes, SuiteError, compare, read
from tests.prove_slow.report import Section, table

NAME = "suites"
_WORDS = 25  # differences that are named in the report for each library; more are counted


@dataclass(frozen=True)
class _Result:
    suite: sources.Suite
    title: str
    outside: Outcomes
    inside: Outcomes
    differences: List[Difference]
    trouble: str = ""

    @property
    def losses(self) -> List[Difference]:
        return [each for each in self.differences if each.lost]


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Give the command line what narrows this proof, for work on it."""
    names = [suite.name for suite in sources.SUITES]
    parser.add_argument("--library", choices=names, action="append", help="only this library (may be repeated)")
    parser.add_argument("--select", metavar="EXPRESSION", help="only these tests, as for pytest -k")
    parser.add_argument(
        "--archives",
        default=os.path.join(places.ROOT, "build", "prove-slow"),
        help="where archives of tests and records of runs are kept",
    )


def narrowed(options: argparse.Namespace) -> bool:
    """Return whether this is less than the whole proof, so that its result is not to be recorded."""
    return bool(options.library or options.select)


def prove(options: argparse.Namespace) -> Section:
    """Run the suites and compare."""
    wanted = [suite for suite in sources.SUITES if not options.library or suite.name in options.library]
    with places.Inside() as server:
        layers = server.layers()
        results = [_attempt(server, suite, options) for suite in wanted]
    return Section(
        "The libraries' own test suites, inside and outside",
        _body(results, layers),
        all(_held(each) for each in results),
    )


def _attempt(server: places.Inside, suite: sources.Suite, options: argparse.Namespace) -> _Result:
    try:
        return _run(server, suite, options)
    except SuiteError as error:
        _say("%s: %s" % (suite.name, error))
        empty = Outcomes({}, None, False)
        return _Result(suite, suite.name, empty, empty, [], str(error))


def _run(server: places.Inside, suite: sources.Suite, options: argparse.Namespace) -> _Result:
    os.makedirs(options.archives, exist_ok=True)
    archive = sources.archive(suite, options.archives)
    order: Dict[str, Any] = {
        "arguments": list(suite.arguments) + (["-k", options.select] if options.select else []),
        "archive": places.ARCHIVE if archive else None,
        "leave_out": list(suite.leave_out),
        "environment": suite.environment,
        "prelude": suite.prelude,
    }
    title = "%s %s" % (suite.name, suite.version)
    _say(title + ": running inside and outside, side by side")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        plain = places.Outside()
        futures = [pool.submit(place.run, order, archive) for place in (plain, server)]
        try:
            ran = [future.result() for future in futures]
        except BaseException:  # also when we are told to end: the pool would wait an hour for its threads
            plain.stop()
            server.close()
            raise
    outcomes = []
    troubles = []
    for where, one in zip(("outside", "inside"), ran):
        with open(os.path.join(options.archives, "%s.%s.jsonl" % (suite.name, where)), "w", encoding="utf-8") as file:
            file.write(one.records)  # for a look at what differs
        found = read(one.records)
        outcomes.append(found)
        _say("%s %s: %s in %.0f s, %s" % (suite.name, where, dict(found.counts), one.seconds, one.ending))
        if not found.finished or not found.tests:
            at = " at %s" % found.interrupted if found.interrupted else ""
            troubles.append("%s it broke off%s (%s)" % (where, at, one.ending))
            _say(one.stderr[-5000:])
    for name, (word, reason) in [each for each in outcomes[0].tests.items() if each[1][0] in BAD][:_WORDS]:
        _say("%s outside: %s %s: %s" % (suite.name, word, name, reason))
    differences = compare(*outcomes)
    for each in differences:
        _say("%s %s: outside %s, inside %s: %s" % ("LOST" if each.lost else "differs", *each))
    return _Result(suite, title, outcomes[0], outcomes[1], differences, "; ".join(troubles))


def _held(result: _Result) -> bool:
    return not result.trouble and not result.losses


def _body(results: List[_Result], layers: str) -> str:
    rows = []
    for result in results:
        inside, outside = result.inside.counts, result.outside.counts
        same = sum(1 for name, end in result.inside.tests.items() if _outcome(result.outside, name) == end[0])
        row: List[object] = [result.title, len(result.outside.tests), same]
        for words in _COLUMNS.values():
            counts = [sum(each[word] for word in words) for each in (outside, inside)]
            row.append(" / ".join(f"{count:,}" for count in counts))
        rows.append(row)
    lines = [
        "Each suite ran twice, side by side: as a request with the admin key, and as a plain process with the same",
        "interpreter, environment and kind of user. Limits of time, memory and space were raised; every layer was on",
        "(%s)." % layers,
        "Columns of two numbers are outside / inside.",
        "",
        table(["library", "tests", "same result"] + list(_COLUMNS), rows),
        "",
    ]
    for result in results:
        lines += ["- " + result.suite.name + ": " + text for text in _remarks(result)]
    return "\n".join(lines)


def _remarks(result: _Result) -> Iterator[str]:
    if result.suite.remark:
        yield result.suite.remark + "."
    if result.trouble:
        yield result.trouble + "."
    for each in result.differences[:_WORDS]:
        yield "`%s` is %s outside and %s inside." % (each.name, each.outside, each.inside)
    if len(result.differences) > _WORDS:
        yield "%d more end differently." % (len(result.differences) - _WORDS)
    alike = [
        name for name, end in result.outside.tests.items() if end[0] in BAD and _outcome(result.inside, name) == end[0]
    ]
    if alike:
        yield "%d fail in both places alike, which says nothing about pyexec." % len(alike)


def _outcome(outcomes: Outcomes, name: str) -> str:
    return outcomes.tests.get(name, (ABSENT, ""))[0]


_COLUMNS = {"passed": ("passed",), "failed": BAD, "skipped": ("skipped",), "expected failures": ("xfailed", "xpassed")}


def _say(text: str) -> None:
    print("prove-slow: " + text, file=sys.stderr, flush=True)
