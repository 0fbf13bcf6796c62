"""What a child does just before its time is up: flush what was printed, and tell where the script is.

The server sends two signals. On the first the handler below flushes and reports; it runs between two instructions of
Python, in whatever the script is doing. A script that stays in one call of C code has no such moment: the second signal
is answered by `faulthandler`, in C, which writes the call stack to standard error, where the server finds it.

Installed in the zygote, so that a run pays nothing for it. Programs that an admin script starts ignore both signals.
"""

from __future__ import annotations

import faulthandler
import functools
import signal
import types
from typing import Any, Callable

from pyexec import messages
from pyexec.child.witness import Witness

_STDERR = 2


def install(flush: Callable[[], object], witness: Witness) -> None:
    """Answer the two signals in this process and in those that it forks.

    Args:
        flush: empties the script's streams. witness: tells where the script is.
    """

    def on_late(number: int, frame: types.FrameType | None) -> None:
        flush()
        witness.late(frame)

    signal.signal(messages.LATE_SIGNAL, on_late)
    faulthandler.register(messages.STUCK_SIGNAL, file=_STDERR, all_threads=False)
    for name in ("getsignal", "signal"):
        setattr(signal, name, _concealing(getattr(signal, name), on_late))


def _concealing(ask: Callable[..., Any], handler: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that answers as this one does, but for our handler: a script finds none at the start."""

    @functools.wraps(ask)
    def answer(*arguments: Any, **named: Any) -> Any:
        found = ask(*arguments, **named)
        return signal.SIG_DFL if found is handler else found

    return answer
