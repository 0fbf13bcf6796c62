"""The command line: flags to a Config, a name to its command, errors to exit statuses."""

from __future__ import annotations

import argparse
import os
import sys

from pyexec import __version__, config, config_sources, log
from pyexec.cli import doctor, run, serve
from pyexec.errors import ConfigError, SandboxError, ValidationError
from pyexec.kernel import libc

# A command is a module with HELP, and main(config, given), which returns the exit status. The first is the default.
COMMANDS = {"serve": serve, "run": run, "doctor": doctor}
_WITH_FILE = ("run",)
_USAGE_STATUS, _REFUSED_STATUS = 2, 1


def _parser(program: str) -> argparse.ArgumentParser:
    forms = " | ".join(f"{name} FILE" if name in _WITH_FILE else name for name in COMMANDS)
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
    parser.add_argument("file", nargs="?", help="for run: the script, or - for standard input")
    parser.add_argument("--admin", action="store_true", help="for run: as a caller with the admin key")
    config_sources.add_flags(parser)
    return parser


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
    given = parser.parse_intermixed_args(arguments)
    if (given.command in _WITH_FILE) != (given.file is not None):
        parser.error(f"{given.command} needs a FILE" if given.file is None else f"{given.command} takes no FILE")
    # Another process of our uid must not read the admin key out of our memory or environment.
    libc.prctl(libc.PR_SET_DUMPABLE, 0)
    try:
        status: int = COMMANDS[given.command].main(config_sources.from_sources(given), given)
        return status
    except ConfigError as error:
        log.say(str(error))
        return _USAGE_STATUS
    except (SandboxError, ValidationError, OSError) as error:
        log.say(str(error))
        return _REFUSED_STATUS
