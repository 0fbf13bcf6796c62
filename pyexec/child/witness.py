"""What a child tells the server of its script beside the output: how it failed, and the value of its last statement.

`script` calls a witness when it has ended, and `last_moment` just before its time is up. Nothing here runs for a script
that succeeds and whose caller asks for no value: what runs first in a process copies the pages that it touches. So the
zygote makes the witness, and a child only sets its attributes. Nothing that goes wrong here changes how the script
ends: then there is less to tell.
"""

from __future__ import annotations

import contextlib
import os
import sys
import types
from typing import Any, Callable

from pyexec.child import failure, figures, last_value, show
from pyexec.findings import VALUE_CHARS

_SHORTER = 4  # tries, each with half as many characters, until it fits into a message


class Witness:
    """Tells of one run.

    Attributes:
        source: the script. pid: of the process whose script this is; what that forks has nothing to tell.
        value: whether the value of the last statement is wanted. locals: whether those of variables are.
        compile: compiles the script, as the built-in function of that name does.
    """

    def __init__(self, tell: Callable[[dict[str, Any]], None]) -> None:
        """Begin without a run.

        Args:
            tell: sends what was found; raises ValueError if it is too long.
        """
        self._tell = tell
        self.source, self.pid = "", 0
        self.value, self.locals = False, True
        self.compile: Callable[..., Any] = compile

    def want(self, value: bool, with_locals: bool) -> None:
        """Take what the caller wants to know."""
        self.value, self.locals = value, with_locals
        if value:
            self.compile = last_value.compile_

    def succeeded(self, names: dict[str, Any]) -> None:
        """Show the figures that are still open, and tell the value that the script left in its namespace, if any.

        The value is taken out. What a picture shows is not told as a value too.
        """
        shown = "matplotlib._pylab_helpers" in sys.modules and os.getpid() == self.pid and _shown()
        if last_value.NAME in names:
            value = names.pop(last_value.NAME)
            if shown and figures.is_drawn(value):
                return
            for attempt in range(_SHORTER):
                with contextlib.suppress(BaseException):  # too long, or whatever the script's own code raises
                    self._tell({"value": last_value.describe(value, VALUE_CHARS >> attempt)})
                    return

    def failed(self, error: BaseException) -> None:
        """Tell how the script failed; to exit is not to fail."""
        if not issubclass(type(error), SystemExit):
            self._try("error", failure.of_exception, error)

    def late(self, frame: types.FrameType | None) -> None:
        """Tell where the script is, whose time is nearly up: called from a signal handler, in that frame."""
        self._try("late", failure.of_frame, frame)

    def _try(self, name: str, describe: Callable[..., dict[str, Any]], about: object) -> None:
        if os.getpid() != self.pid:
            return
        for with_locals in (True, False) if self.locals else (False,):
            with contextlib.suppress(BaseException):  # too long, or whatever the script's own code raises
                self._tell({name: describe(about, self.source, with_locals)})
                return


def _shown() -> bool:
    with contextlib.suppress(BaseException):  # whatever the script has made of the library
        return show.collect()
    return False


NOBODY = Witness(lambda found: None)
