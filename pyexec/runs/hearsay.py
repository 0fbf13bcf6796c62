"""What a run says of itself on its channel before it ends: kept if it is well-formed, else passed over.

In the server. A script can write to the channel as well, so this may be anything, and as often as it likes.
"""

from __future__ import annotations

import contextlib
from typing import Any, Mapping

from pyexec import findings
from pyexec.job import ENDED

_MOST = 4  # messages of one run; a child sends two at most


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
                if "error" in payload:
                    self._found["error"] = findings.error(payload["error"])
                if "value" in payload:
                    self._found["value"] = findings.value(payload["value"])
        return self._count < _MOST

    def about(self, verdict: str, exit_code: int) -> tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]:
        """Return `error` and `value` of an outcome: a success has no failure, and a failure no value."""
        if verdict == ENDED and not exit_code:
            return None, self._found.get("value")
        return self._found.get("error"), None
