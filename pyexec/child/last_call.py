"""Just before the time of a run is up, its server says so by a signal, and what the script has printed is flushed.

`print(".", end="")` stays in a buffer until the line ends, and a run that is killed loses its buffers. Streams without
a buffer would double the cost of every print.

SIGURG, since nothing happens to a process that doesn't handle it, such as a program that an admin's script has become.
The handler runs where the interpreter looks at signals: code that stays in C until it is killed has no last call.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import types

from pyexec import messages


def install() -> None:
    """Handle the signal in this process and in those forked from it; in the zygote."""
    signal.signal(messages.LAST_CALL, _flush)


def forward(script_pid: int) -> None:
    """Pass the signal on, in the supervisor of an admin run."""

    def pass_on(number: int, frame: types.FrameType | None) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(script_pid, number)

    signal.signal(messages.LAST_CALL, pass_on)


def _flush(number: int, frame: types.FrameType | None) -> None:
    # The script's own streams may raise anything, and so do the interpreter's when it was just writing to them.
    for name in ("stdout", "__stdout__", "stderr", "__stderr__"):
        with contextlib.suppress(BaseException):
            getattr(sys, name).flush()
