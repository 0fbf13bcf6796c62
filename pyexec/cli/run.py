"""`pyexec run FILE`: run one script as the server would, with our standard streams and files of ours."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys

from pyexec import log, rules, units
from pyexec.api import hints, import_advice, response
from pyexec.api.hint_scene import Names
from pyexec.cli.save import save
from pyexec.config import Config
from pyexec.job import ENDED, Attachment, Job, Outcome
from pyexec.sandbox import Sandbox

HELP = "run one script as the server would"
OPTIONS = ("admin", "attach", "returned", "out")
_REFUSED_STATUS, _USAGE_STATUS = 1, 2
_NAMES = Names(stdin="standard input", attachments="--attach")
_EVERYTHING = "**"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Give the command line what only `run` takes."""
    add = parser.add_argument_group("run FILE").add_argument
    add("--attach", action="append", default=[], metavar="FILE", help="a file for the script's directory; repeatable")
    add(
        "--return",
        action="append",
        default=[],
        dest="returned",
        metavar="PATTERN",
        help="a file to fetch, or a pattern such as '*.png' or '**'; repeatable",
    )


def main(config: Config, given: argparse.Namespace) -> int:
    """Run the script in a file, or in standard input; return its exit status, or 1 if the service ended it."""
    if given.returned and given.out is None:
        log.say("--return needs --out DIR, the directory to put the files into")
        return _USAGE_STATUS
    if given.file == "-":
        source, stdin = sys.stdin.buffer.read(), None
    else:
        source = _read(given.file)
        stdin = None if sys.stdin.isatty() else sys.stdin.buffer.read()
    try:
        code = source.decode("utf-8")
    except UnicodeDecodeError as error:
        log.say(f"the script is not valid UTF-8 at byte {error.start}; save it as UTF-8")
        return _REFUSED_STATUS
    attachments = tuple(Attachment(os.path.basename(path), _read(path)) for path in given.attach)
    asked = tuple(given.returned) or (() if given.out is None else (_EVERYTHING,))
    job = Job(code, stdin, attachments, asked, given.admin)
    with Sandbox(config) as sandbox:
        outcome = sandbox.run(job)
        report = sandbox.report
    sys.stdout.buffer.write(outcome.stdout)
    sys.stdout.flush()
    sys.stderr.buffer.write(outcome.stderr)
    sys.stderr.flush()
    refusal = response.error_of(outcome, config, job)
    # A script that prints nothing may well be meant to.
    spoken = dataclasses.replace(outcome, stdout=outcome.stdout or b"\n")
    hint = hints.for_run(job, spoken, config, report.installed, _NAMES, report.own_tree, hints.may_delete(report))
    if refusal is not None:
        # That sentence is about HTTP's answers.
        log.say(refusal.message.replace(import_advice.WHERE_ALL, "--modules says which modules may be."))
        hint = hint or hints.for_error(refusal)
    if hint is not None:
        log.say(hint)
    missing = _save(outcome, given.out)
    status = outcome.exit_code if outcome.verdict == ENDED else _REFUSED_STATUS
    # A shell shows death by a signal as 128 and the signal's number.
    return 128 - status if status < 0 else status or (_REFUSED_STATUS if missing else 0)


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _save(outcome: Outcome, out: str | None) -> bool:
    """Write the files that came back, and name those that didn't; return whether one that was asked for is missing."""
    named: set[str] = set()
    missing = False
    for file in outcome.files:
        named.add(rules.canonical(file.name))
        if file.content is not None and out is not None:
            save(out, rules.canonical(file.name), file.content)
        else:
            # Names are a script's own: escaped, since they may hold what a terminal obeys.
            log.say(f"{file.name!r} was not returned: {file.error}")
            missing = True
    others = [file for file in outcome.written if file.path not in named]
    if others:
        shown = ", ".join(f"{file.path!r} ({units.size(file.size_bytes)})" for file in others[:10])
        more = f", and {len(others) - 10} more" if len(others) > 10 else ""
        log.say(f"the script also wrote {shown}{more}; --return PATTERN --out DIR fetches them")
    return missing
