"""What a child tells the server of its script beside the output: how it failed, and the value of its last statement.

`script` calls a witness when it has ended, and `last_moment` just before its time is up. Nothing here runs for a script
that succeeds and whose caller asks for no value, and nothing that goes wrong here changes how the script ends: then
there is less to tell.
"""

from __future__ import annotations

import contextlib
import types
from typing import Any, Callable

from pyexec.child import failure, last_value
from pyexec.findings import VALUE_CHARS

_SHORTER = 4  # tries, each with half as many characters, until it fits into a message


class Witness:
    """Tells of one run."""

    def __init__(
        self, source: str, value: bool, with_locals: bool, tell: Callable[[dict[str, Any]], None] | None
    ) -> None:
        """Take what the request asks for.

        Args:
            tell: sends what was found; raises ValueError if it is too long. None if nobody is to be told anything.
        """
        self._source, self._locals, self._tell = source, with_locals, tell
        self.compile = last_value.compile_ if value else compile

    def succeeded(self, names: dict[str, Any]) -> None:
        """Tell the value that the script left in its namespace, if there is one, and take it out."""
        tell = self._tell
        if tell is not None and last_value.NAME in names:
            value = names.pop(last_value.NAME)
            for attempt in range(_SHORTER):
                with contextlib.suppress(BaseException):  # too long, or whatever the script's own code raises
                    tell({"value": last_value.describe(value, VALUE_CHARS >> attempt)})
                    return

    def failed(self, error: BaseException | None) -> None:
        """Tell how the script failed, if it did; to exit is not to fail."""
        if error is None or self._tell is None or issubclass(type(error), SystemExit):
            return
        for with_locals in (True, False) if self._locals else (False,):
            with contextlib.suppress(BaseException):
                self._tell({"error": failure.of_exception(error, self._source, with_locals)})
                return

    def late(self, frame: types.FrameType | None) -> None:
        """Tell where the script is, whose time is nearly up: called from a signal handler, in that frame."""
        if self._tell is None:
            return
        for with_locals in (True, False) if self._locals else (False,):
            with contextlib.suppress(BaseException):
                self._tell({"late": failure.of_frame(frame, self._source, with_locals)})
                return


NOBODY = Witness("", False, False, None)
