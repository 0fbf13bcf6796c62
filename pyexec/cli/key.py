"""`pyexec key NAME`: make a key, and print the line that the keys file needs for it."""

from __future__ import annotations

import argparse
import sys

from pyexec import key_file
from pyexec.config import Config

HELP = "make a key for a caller, and print its line for the keys file"
OPTIONS = ("admin",)


def main(config: Config, given: argparse.Namespace) -> int:
    """Print the line to standard output, which may be appended to the file, and the key itself to standard error."""
    key, named = key_file.new_key(given.file, config.rate_per_minute, config.rate_per_day, given.admin)
    # Not by `log`: this is the one place that shows it, and the only time.
    sys.stderr.write(f"The key of {named.name}, which is shown only now: {key}\n")
    sys.stderr.flush()
    print(named.line())
    return 0
