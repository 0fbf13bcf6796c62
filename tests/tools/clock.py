"""Serve with a clock that can be set: `python clock.py FILE -- PYTHON -m pyexec FLAG...`; FILE holds the seconds added.

Only the time of day is changed, as by whoever sets the machine's clock; the monotonic one goes on.
"""

from __future__ import annotations

import datetime
import os
import sys
import time
from typing import Any

sys.path[:0] = [os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))]

_real_time, _real_datetime = time.time, datetime.datetime


def _shift() -> float:
    with open(sys.argv[1], encoding="ascii") as file:
        return float(file.read() or 0)


class _Datetime(datetime.datetime):
    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return _real_datetime.now(tz) + datetime.timedelta(seconds=_shift())


def main() -> int:
    """Be the server."""
    flags = sys.argv[sys.argv.index("pyexec") + 1 :]
    time.time = lambda: _real_time() + _shift()
    datetime.datetime = _Datetime  # type: ignore[misc]
    from pyexec.cli import main as cli

    return cli.main(flags)


if __name__ == "__main__":
    sys.exit(main())
