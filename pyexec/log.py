"""The log's stream: what can't be written is left out."""

from __future__ import annotations

import contextlib
import sys
from typing import TextIO


class Log:
    """Standard error; where it can't be written, nothing: a full disk must cost no answer, no thread, no shutdown."""

    def __init__(self, stream: TextIO) -> None:
        """Write to this stream."""
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, if that can be done."""
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, if that can be done."""
        with contextlib.suppress(OSError):
            self._stream.flush()


def say(text: str) -> None:
    """Write one line, "pyexec: text", to standard error, if that can be done."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"pyexec: {text}\n")
        sys.stderr.flush()
