"""The log, which is standard error: what can't be written is left out."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TextIO


def say(text: str) -> None:
    """Write one entry to the log, whatever happens: a full disk must cost no answer, no thread, no shutdown.

    It is UTF-8 whatever the locale, and one call of the kernel, so that no other thread's entry gets between. Further
    lines of the text are indented: only an entry begins with the program's name at the start of a line.
    """
    line = "pyexec: " + "\n  ".join(text.splitlines()) + "\n"
    with contextlib.suppress(OSError, ValueError, AttributeError):  # a full disk; a closed stream; none at all
        if _is_descriptor_2(sys.stderr):
            os.write(2, line.encode("utf-8", "backslashreplace"))
        else:  # what an embedder has put there
            sys.stderr.write(line)
            sys.stderr.flush()


def _is_descriptor_2(stream: TextIO) -> bool:
    try:
        return stream.fileno() == 2
    except (OSError, AttributeError):
        return False


class Log:
    """A stream in place of standard error for what Python itself writes there, such as a thread's last traceback."""

    def __init__(self, stream: TextIO) -> None:
        """Write to this stream."""
        self._stream = stream

    def fileno(self) -> int:
        """Return the stream's descriptor."""
        return self._stream.fileno()

    def write(self, text: str) -> int:
        """Write, if that can be done."""
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, if that can be done."""
        with contextlib.suppress(OSError):
            self._stream.flush()
