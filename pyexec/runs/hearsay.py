"""What a run says of itself on its channel before it ends: kept if it is well-formed, else passed over.

In the server. A script can write to the channel as well, so this may be anything, and as often as it likes.
"""

from __future__ import annotations

import contextlib
import re
from typing import Any, Mapping

from pyexec import findings
from pyexec.job import ENDED, TIMEOUT

_MOST = 6  # messages of one run; a child sends five at most
_LONGEST_STACK = 1 << 16
_IN_C = "The script was here, in one call of C code, when its time was up."
_SHORT = "The script was here when its memory was nearly used up."
_LINE_BREAK = re.compile(r"\r\n|\r|\n")
_FRAME = re.compile(rb'^  File "script\.py", line (\d{1,9}) in ([^\n]{1,500})$', re.MULTILINE)


class Hearsay:
    """The findings of one run, the newest of each kind."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._found: dict[str, Mapping[str, Any]] = {}
        self._count = 0

    def take(self, payload: Any) -> bool:
        """Keep what a message says, if that can be done; return False once there were too many."""
        self._count += 1
        if isinstance(payload, dict):
            with contextlib.suppress(ValueError):
                for name in ("error", "late"):
                    if name in payload:
                        self._found[name] = findings.error(payload[name])
                if "value" in payload:
                    self._found["value"] = findings.value(payload["value"])
                if "shown" in payload:
                    self._found["shown"] = findings.shown(payload["shown"])
        return self._count < _MOST

    def about(
        self, verdict: str, exit_code: int, resource: str = ""
    ) -> tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]:
        """Return `error` and `value` of an outcome: a success has no failure, and a failure no value.

        Args:
            resource: that the run was ended for.
        """
        if verdict == ENDED and not exit_code:
            return None, self._found.get("value")
        error, late = self._found.get("error"), self._found.get("late")
        if verdict == TIMEOUT and late is not None:  # of which only memory is about what is large
            error = {name: each for name, each in late.items() if name != "largest"}
        elif resource == "memory" and late is not None:
            error = {**late, "type": "MemoryError", "message": _SHORT}
        return error, None

    @property
    def pictures(self) -> tuple[str, ...]:
        """The files of pictures that the script showed, as it says."""
        return tuple(self._found.get("shown", {}).get("names", ()))

    @property
    def picture_troubles(self) -> tuple[str, ...]:
        """Why pictures that the script showed could not be written, as it says."""
        return tuple(self._found.get("shown", {}).get("troubles", ()))

    @property
    def knows_where(self) -> bool:
        """Whether the run has told where it is, since its time is nearly up."""
        return "late" in self._found

    def forget_where(self) -> None:
        """Drop where the run has said it is, to ask anew."""
        self._found.pop("late", None)

    def take_stack(self, stack: bytes, source: str) -> None:
        """Keep what `faulthandler` wrote of a run that was in C code and so couldn't report."""
        lines = _LINE_BREAK.split(source)
        frames = []
        for number, function in _FRAME.findall(stack[:_LONGEST_STACK])[: findings.FRAMES]:
            line = int(number)
            code = lines[line - 1].strip()[:300] if 0 < line <= len(lines) else ""
            frames.append({"line": line, "function": function.decode("utf-8", "replace")[:200], "code": code})
        if frames:
            where = {"line": frames[0]["line"], "code": frames[0]["code"], "frames": frames}
            with contextlib.suppress(ValueError):
                self._found["late"] = findings.error({"type": "TimeoutError", "message": _IN_C, **where})
