"""Whether whoever asked for a run still waits for it, as something that a run can poll beside its own descriptors."""

from __future__ import annotations

import select
from typing import Protocol


class Presence(Protocol):
    """What a caller's front, such as HTTP, hands to whatever waits on the caller's behalf.

    Attributes:
        events: what to poll the descriptor for; read again after `is_gone` has returned False, since it may be less.
    """

    events: int

    def fileno(self) -> int:
        """Return the descriptor to poll."""

    def is_gone(self, found: int) -> bool:
        """Return whether the caller has gone, given what the poll has found on the descriptor."""


def is_gone_now(presence: Presence) -> bool:
    """Return whether a caller has gone by now."""
    poll = select.poll()
    poll.register(presence.fileno(), presence.events)
    return any(presence.is_gone(found) for _, found in poll.poll(0))


class CallerGone(Exception):
    """The caller has gone, and its run was ended. `begun` says whether there was one."""

    def __init__(self, begun: bool) -> None:
        super().__init__("the caller has gone")
        self.begun = begun
