"""Serve with steps of the confinement made to fail: `python inject.py public|admin -- PYTHON -m pyexec FLAG...`.

After the first two of that kind, with which the server starts, one child fails at its first step, the next at its second,
and so on, until one has passed them all. A step is one of the calls that confine a child.
"""

from __future__ import annotations

import errno
import mmap
import os
import subprocess
import sys
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.dirname(os.path.dirname(HERE)), HERE]

_START = "start.main()"


def _fail(*_: Any) -> None:
    raise OSError(errno.EIO, "made to fail")


def arm(kind: str) -> None:
    """Make children fail, each one step later than the one before; in the nursery, before it does anything."""
    from pyexec.child import main as child

    count = mmap.mmap(-1, 8)  # shared with all children
    main = child.main

    def armed_main(calls: Any, descriptors: Any, order: Any, *others: Any) -> Any:
        if order.admin == (kind == "admin"):
            number = int.from_bytes(count[:], "little")
            count[:] = (number + 1).to_bytes(8, "little")
            # The server doesn't start without its first two children of each kind, one of each zygote.
            if 0 <= number - 2 < len(calls):
                calls = list(calls)
                calls[number - 2] = calls[number - 2]._replace(function=_fail)
        return main(calls, descriptors, order, *others)

    child.main = armed_main  # type: ignore[assignment]


def main() -> int:
    """Be the server, and arm its nursery."""
    kind, flags = sys.argv[1], sys.argv[sys.argv.index("pyexec") + 1 :]
    from pyexec.cli import main as cli

    start = subprocess.Popen

    def armed_start(command: Any, *others: Any, **named: Any) -> Any:
        if _START in command[-1]:
            arming = "sys.path.insert(0, %r); import inject; inject.arm(%r); " % (HERE, kind)
            command = command[:-1] + [command[-1].replace(_START, arming + _START)]
        return start(command, *others, **named)

    subprocess.Popen = armed_start  # type: ignore[assignment,misc]
    return cli.main(flags)


if __name__ == "__main__":
    sys.exit(main())
