"""`pyexec serve`: serve over HTTP until told to end."""

from __future__ import annotations

import argparse

from pyexec import server
from pyexec.config import Config

HELP = "serve over HTTP (the default)"


def main(config: Config, given: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT; return the exit status."""
    return server.serve(config)
