"""The command line: flags to a Config, a name to its command, errors to exit statuses."""

from __future__ import annotations

import argparse
import itertools
import os
import sys
from typing import Sequence

from pyexec import __version__, config, config_sources, log
from pyexec.cli import batch, doctor, key, mcp, run, serve
from pyexec.errors import ConfigError, SandboxError, ValidationError
from pyexec.kernel import libc

# A command is a module with HELP, and main(config, given), which returns the exit status. The first is the default. One
# with options of its own has them in OPTIONS and add_flags(parser); those that two of them share are here. One in which
# settings have other defaults has these in defaults(given).
COMMANDS = {"serve": serve, "run": run, "batch": batch, "mcp": mcp, "key": key, "doctor": doctor}
_WITH_FILE = {"run": "FILE", "batch": "FILE", "key": "NAME"}  # what the one argument is
_OPTIONS = {"admin": False, "attach": [], "returned": [], "out": None, "url": None}  # with what they are if not given
_USAGE_STATUS, _REFUSED_STATUS = 2, 1


def _parser(program: str) -> argparse.ArgumentParser:
    forms = " | ".join(f"{name} {_WITH_FILE[name]}" if name in _WITH_FILE else name for name in COMMANDS)
    parser = argparse.ArgumentParser(
        prog=program,
        usage=f"%(prog)s [{forms}] [FLAG VALUE]...; --help lists the flags",
        allow_abbrev=False,
        description="Run untrusted Python over HTTP, each script alone in a confined throw-away process.",
        epilog=f"The admin key comes from the variable {config.KEY_VARIABLE}, so that no process list shows it.",
    )
    parser.add_argument("--version", action="version", version="pyexec " + __version__)
    parser.add_argument(
        "command",
        nargs="?",
        choices=tuple(COMMANDS),
        default=next(iter(COMMANDS)),
        help="; ".join(f"{name}: {module.HELP}" for name, module in COMMANDS.items()),
    )
    parser.add_argument(
        "file", nargs="?", help="for run: the script, or - for standard input; for batch: the jobs; for key: a name"
    )
    parser.add_argument(
        "--admin",
        action="store_true",
        help="for run, batch, mcp: as a caller with the admin key; for key: an admin's",
    )
    parser.add_argument("--out", metavar="PATH", help="for run: a directory for files; for batch: the results")
    for module in (run, batch):
        module.add_flags(parser)
    config_sources.add_flags(parser)
    return parser


def _refuse_unknown(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> None:
    """End with an error that names the flags that don't exist: argparse would take the value of one for the command."""
    given = itertools.takewhile(lambda each: each != "--", arguments)
    names = [each.partition("=")[0] for each in given if each.startswith("--")]
    unknown = [name for name in names if name not in parser._option_string_actions]
    if unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")


def _open_standard_streams() -> None:
    """Put /dev/null where we were started with a standard stream closed.

    Otherwise Python has None there, and the next file or socket that is opened gets the stream's number.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDONLY if number == 0 else os.O_WRONLY)
            if descriptor != number:
                os.dup2(descriptor, number)
                os.close(descriptor)
            mode = "r" if number == 0 else "w"
            setattr(sys, name, open(number, mode, encoding="utf-8", errors="backslashreplace", closefd=False))


def main(arguments: list[str] | None = None, program: str = "pyexec") -> int:
    """Carry out one command and return the exit status: 0, 1 when this host or script says no, 2 for wrong usage."""
    _open_standard_streams()
    parser = _parser(program)
    _refuse_unknown(parser, sys.argv[1:] if arguments is None else arguments)
    given = parser.parse_intermixed_args(arguments)
    if (given.command in _WITH_FILE) != (given.file is not None):
        kind = _WITH_FILE.get(given.command)
        parser.error(f"{given.command} needs a {kind}" if kind else f"{given.command} takes no FILE")
    command = COMMANDS[given.command]
    for name, absent in _OPTIONS.items():
        if getattr(given, name) != absent and name not in getattr(command, "OPTIONS", ()):
            parser.error(f"{given.command} takes no --{'return' if name == 'returned' else name}")
    # Another process of our uid must not read the admin key out of our memory or environment.
    libc.prctl(libc.PR_SET_DUMPABLE, 0)
    try:
        defaults = command.defaults(given) if hasattr(command, "defaults") else None
        status: int = command.main(config_sources.from_sources(given, defaults=defaults), given)
        return status
    except ConfigError as error:
        log.say(str(error))
        return _USAGE_STATUS
    except (SandboxError, ValidationError, OSError) as error:
        log.say(str(error))
        return _REFUSED_STATUS
