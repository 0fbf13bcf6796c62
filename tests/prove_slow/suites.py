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
_PLACES = ("outside", "inside")
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
        return [each for each in self.differences if each.lost and each.name not in self.suite.known]


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the options that narrow this proof, for development."""
    names = [suite.name for suite in sources.SUITES]
    parser.add_argument("--library", choices=names, action="append", help="only this library (may be repeated)")
    parser.add_argument("--judge", action="store_true", help="run nothing: judge the records of the last run again")
    parser.add_argument("--select", metavar="EXPRESSION", help="only these tests, as for pytest -k")
    parser.add_argument(
        "--archives",
        default=os.path.join(places.ROOT, "build", "prove-slow"),
        help="where archives of tests and records of runs are kept",
    )


def narrowed(options: argparse.Namespace) -> bool:
    """Return whether this is less than the whole proof, in which case its result is not recorded."""
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
    if options.judge:
        return _judge(suite, title, [_kept(options, suite, where) for where in _PLACES], [])
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        plain = places.Outside()
        futures = [pool.submit(place.run, order, archive) for place in (plain, server)]
        try:
            ran = [future.result() for future in futures]
        except BaseException:  # also when we are told to end: the pool would wait an hour for its threads
            plain.stop()
            server.close()
            raise
    for where, one in zip(_PLACES, ran):
        with open(_record(options, suite, where), "w", encoding="utf-8") as file:
            file.write(one.records)
        _say("%s %s: %s after %.0f s" % (suite.name, where, one.ending, one.seconds))
        if not read(one.records).finished:
            _say(one.stderr[-5000:])
    return _judge(suite, title, [one.records for one in ran], [one.ending for one in ran])


def _record(options: argparse.Namespace, suite: sources.Suite, where: str) -> str:
    return os.path.join(options.archives, "%s.%s.jsonl" % (suite.name, where))


def _kept(options: argparse.Namespace, suite: sources.Suite, where: str) -> str:
    try:
        with open(_record(options, suite, where), encoding="utf-8") as file:
            return file.read()
    except OSError as error:
        raise SuiteError("there is no record to judge: %s" % error.strerror) from error


def _judge(suite: sources.Suite, title: str, records: List[str], endings: List[str]) -> _Result:
    """Compare what the suite wrote in both places; `endings` says how the processes ended, if that is known."""
    found = [read(text) for text in records]
    troubles = []
    for place, where in enumerate(_PLACES):
        one = found[place]
        _say("%s %s: %s" % (suite.name, where, dict(one.counts)))
        if not one.finished or not one.tests:
            at = " at %s" % one.interrupted if one.interrupted else ""
            troubles.append(" ".join(["%s it broke off%s" % (where, at)] + endings[place : place + 1]))
    for name, (word, reason) in [each for each in found[0].tests.items() if each[1][0] in BAD][:_WORDS]:
        _say("%s outside: %s %s: %s" % (suite.name, word, name, reason))
    differences = compare(*found)
    for each in differences:
        word = "by design" if each.name in suite.known else "LOST" if each.lost else "differs"
        _say("%s: %s: outside %s, inside %s: %s" % (word, *each))
    return _Result(suite, title, found[0], found[1], differences, "; ".join(troubles))


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
        why = result.suite.known.get(each.name)
        because = ", by design: %s." % why if why else "."
        yield "`%s`: %s outside, %s inside%s" % (each.name, each.outside, each.inside, because)
    if len(result.differences) > _WORDS:
        yield "%d more end differently." % (len(result.differences) - _WORDS)
    alike = [
        name for name, end in result.outside.tests.items() if end[0] in BAD and _outcome(result.inside, name) == end[0]
    ]
    if alike:
        yield "%d fail inside and outside alike, which says nothing about pyexec." % len(alike)


def _outcome(outcomes: Outcomes, name: str) -> str:
    return outcomes.tests.get(name, (ABSENT, ""))[0]


_COLUMNS = {"passed": ("passed",), "failed": BAD, "skipped": ("skipped",), "expected failures": ("xfailed", "xpassed")}


def _say(text: str) -> None:
    print("prove-slow: " + text, file=sys.stderr, flush=True)
