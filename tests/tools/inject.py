"""Serve with steps of the confinement made to fail: `python inject.py public|admin -- PYTHON -m pyexec FLAG...`.

The first child of that kind fails at its first step, the second at its second, and so on, until one has passed them all;
public ones after the first two, with which the server starts. A step is a call of the kernel that a layer makes.
"""

from __future__ import annotations

import errno
import mmap
import os
import resource
import subprocess
import sys
from typing import Any, Callable

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.dirname(os.path.dirname(HERE)), HERE]

_START = "start.main()"
_OF_OS = "open write mkdir chown chdir fchdir setsid setgroups setresgid setresuid nice".split()
_left = 0


def _failing(original: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any, **named: Any) -> Any:
        global _left
        # Without close_range (Linux before 5.9) descriptors are closed one by one: its failure is none of a layer's.
        if _left and arguments[:1] != ("close_range",):
            _left -= 1
            if not _left:
                raise OSError(errno.EIO, "made to fail", original.__name__)
        return original(*arguments, **named)

    return call


def arm(kind: str) -> None:
    """Make children fail, each one step later than the one before; in the template, before it does anything."""
    from pyexec.child import main as child
    from pyexec.kernel import layers, libc

    count = mmap.mmap(-1, 8)  # shared with all children
    main, apply = child.main, layers.apply

    def armed_main(plan: Any, *others: Any) -> Any:
        global _left
        if plan.admin == (kind == "admin"):
            number = int.from_bytes(count[:], "little")
            count[:] = (number + 1).to_bytes(8, "little")
            # The server doesn't start without its first two public children, one of each template.
            _left = number + 1 if kind == "admin" else max(0, number - 1)
            for module, names in ((libc, ("syscall", "prctl", "mount")), (os, _OF_OS), (resource, ("setrlimit",))):
                for name in names:
                    setattr(module, name, _failing(getattr(module, name)))
        return main(plan, *others)

    def armed_apply(steps: Any, plan: Any) -> None:
        global _left
        apply(steps, plan)
        if steps is layers.CLOSING:
            _left = 0

    child.main, layers.apply = armed_main, armed_apply  # type: ignore[assignment]


def main() -> int:
    """Be the server, and arm its template."""
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
