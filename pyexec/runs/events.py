"""What can happen to a run next, as `ChildHandle.next_event` tells it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union


@dataclass(frozen=True)
class Ended:
    """The run says that it has ended, with this exit code; when it reached its stages, as far as it says that.

    Of an admin's process that met its limit of processor time the supervisor says so.
    """

    code: int
    timestamps: object = None
    cpu_limit_s: int = 0


@dataclass(frozen=True)
class Forbidden:
    """The run says that its script names modules that it may not have."""

    names: tuple[str, ...]


@dataclass(frozen=True)
class Died:
    """The zygote says that the run's first process has died, without a word of its own."""

    code: int
    cpu_limit_s: int = 0


@dataclass(frozen=True)
class Unbegun:
    """It ended with its job unread: no script had anything to do with that."""


@dataclass(frozen=True)
class Lost:
    """Its zygote has ended, so that nobody tells of it any more."""


@dataclass(frozen=True)
class Abandoned:
    """Nobody waits for it any more."""


@dataclass(frozen=True)
class Late:
    """Nothing happened in time."""


Event = Union[Ended, Forbidden, Died, Unbegun, Lost, Abandoned, Late]
