"""The commands: `serve` (default), `run FILE`, `doctor`. Flags to Config, verdicts to exit statuses."""

from __future__ import annotations

import argparse
import os
import sys
from typing import List, Optional

from pyexec import __version__, config
from pyexec.api import response
from pyexec.errors import ConfigError, PyexecError, SandboxError, ValidationError
from pyexec.job import ENDED, Job
from pyexec.kernel import libc
from pyexec.sandbox import Sandbox
from pyexec.server import serve

_USAGE_STATUS, _REFUSED_STATUS = 2, 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pyexec",
        usage="%(prog)s [serve | run FILE | doctor] [FLAG VALUE]...; --help lists the flags",
        allow_abbrev=False,
        description="Run untrusted Python over HTTP, each script alone in a confined throw-away process.",
        epilog="The admin key comes from the variable %s, so that no process list shows it." % config.KEY_VARIABLE,
    )
    parser.add_argument("--version", action="version", version="pyexec " + __version__)
    parser.add_argument(
        "command",
        nargs="?",
        choices=("serve", "run", "doctor"),
        default="serve",
        help="serve over HTTP (default); run one script, as the server would; show what this host offers",
    )
    parser.add_argument("file", nargs="?", help="for run: the script, or - for standard input")
    parser.add_argument("--admin", action="store_true", help="for run: as a caller with the admin key")
    config.add_flags(parser)
    return parser


def _open_standard_streams() -> None:
    """Put /dev/null where we were started with a standard stream closed.

    Else Python has None there, and the next file or socket to be opened takes the stream's number.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDONLY if number == 0 else os.O_WRONLY)
            if descriptor != number:
                os.dup2(descriptor, number)
                os.close(descriptor)
            setattr(sys, name, open(number, "r" if number == 0 else "w", closefd=False))


def main(arguments: Optional[List[str]] = None) -> int:
    """Carry out one command and return the exit status: 0, 1 when this host or script says no, 2 for wrong usage."""
    _open_standard_streams()
    parser = _parser()
    given = parser.parse_intermixed_args(arguments)
    if (given.command == "run") != (given.file is not None):
        parser.error("run needs a FILE" if given.command == "run" else "%s takes no FILE" % given.command)
    # Another process of our uid must not read the admin key out of our memory or environment.
    libc.prctl(libc.PR_SET_DUMPABLE, 0)
    try:
        settings = config.from_sources(given)
        if given.command == "serve":
            return serve(settings)
        if given.command == "run":
            return _run(settings, given.file, given.admin)
        return _doctor(settings)
    except ConfigError as error:
        print("pyexec: %s" % error, file=sys.stderr)
        return _USAGE_STATUS
    except (SandboxError, ValidationError, OSError) as error:
        print("pyexec: %s" % error, file=sys.stderr)
        return _REFUSED_STATUS


def _run(settings: config.Config, name: str, admin: bool) -> int:
    """Run one script as the server would, with our standard streams, and return its exit status."""
    if name == "-":
        source, stdin = sys.stdin.buffer.read(), None
    else:
        with open(name, "rb") as file:
            source = file.read()
        stdin = None if sys.stdin.isatty() else sys.stdin.buffer.read()
    try:
        code = source.decode("utf-8")
    except UnicodeDecodeError as fault:
        print("pyexec: the script is not valid UTF-8 at byte %d; save it as UTF-8" % fault.start, file=sys.stderr)
        return _REFUSED_STATUS
    with Sandbox(settings) as sandbox:
        outcome = sandbox.run(Job(code, stdin, admin=admin))
    sys.stdout.buffer.write(outcome.stdout)
    sys.stdout.flush()
    sys.stderr.buffer.write(outcome.stderr)
    error: Optional[PyexecError] = response.error_of(outcome, settings)
    if error is not None:
        print("pyexec: %s" % error.message, file=sys.stderr)
    code_of_script = outcome.exit_code if outcome.verdict == ENDED else _REFUSED_STATUS
    # As a shell would put it: 128 and the signal.
    return 128 - code_of_script if code_of_script < 0 else code_of_script


def _doctor(settings: config.Config) -> int:
    """Print what this host offers against each danger; return 1 if any is left uncovered."""
    with Sandbox(settings) as sandbox:
        report = sandbox.report
        print("Layers")
        for status in sandbox.layers:
            print("  %-3s %-18s %s" % ("on" if status.on else "-", status.name, status.detail))
        print("Dangers")
        for row in report["dangers"]:
            print("  %-46s %s" % (row["danger"], ", ".join(row["layers"])))
        print("System calls allowed: %(public)d for public scripts, %(admin)d for admin scripts" % report["calls"])
        print("Python %s; %s" % (report["python"], ", ".join("%s %s" % item for item in report["libraries"].items())))
        if report["missing"]:
            print("Not installed: %s" % ", ".join(report["missing"]))
    print("No danger is uncovered.")
    return 0
