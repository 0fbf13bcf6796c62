"""`pyexec run FILE`: run one script as the server would, with our standard streams."""

from __future__ import annotations

import argparse
import sys

from pyexec import log
from pyexec.api import response
from pyexec.config import Config
from pyexec.job import ENDED, Job
from pyexec.sandbox import Sandbox

HELP = "run one script as the server would"
_REFUSED_STATUS = 1


def main(config: Config, given: argparse.Namespace) -> int:
    """Run the script in a file, or in standard input; return its exit status, or 1 if the service ended it."""
    if given.file == "-":
        source, stdin = sys.stdin.buffer.read(), None
    else:
        with open(given.file, "rb") as file:
            source = file.read()
        stdin = None if sys.stdin.isatty() else sys.stdin.buffer.read()
    try:
        code = source.decode("utf-8")
    except UnicodeDecodeError as error:
        log.say(f"the script is not valid UTF-8 at byte {error.start}; save it as UTF-8")
        return _REFUSED_STATUS
    with Sandbox(config) as sandbox:
        outcome = sandbox.run(Job(code, stdin, admin=given.admin))
    sys.stdout.buffer.write(outcome.stdout)
    sys.stdout.flush()
    sys.stderr.buffer.write(outcome.stderr)
    sys.stderr.flush()
    refusal = response.error_of(outcome, config)
    if refusal is not None:
        log.say(refusal.message)
    status = outcome.exit_code if outcome.verdict == ENDED else _REFUSED_STATUS
    # A shell shows death by a signal as 128 and the signal's number.
    return 128 - status if status < 0 else status
