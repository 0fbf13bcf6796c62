"""What can happen to a run next, as `ChildHandle.next_event` reports it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union


@dataclass(frozen=True)
class Ended:
    """The run reports that it has ended, with this exit code and perhaps the times at which it reached its stages.

    `cpu_limit_s` is set if the supervisor of an admin run reports that the script reached its CPU time limit.
    """

    code: int
    timestamps: object = None
    cpu_limit_s: int = 0


@dataclass(frozen=True)
class Forbidden:
    """The run reports that its script names modules that it may not import."""

    names: tuple[str, ...]


@dataclass(frozen=True)
class Died:
    """The zygote reports that the run's first process died; the run itself had reported nothing."""

    code: int
    cpu_limit_s: int = 0


@dataclass(frozen=True)
class Unbegun:
    """The child ended with its job unread, so no script had anything to do with that."""


@dataclass(frozen=True)
class Lost:
    """Its zygote has ended, so nothing more will be reported about the run."""


@dataclass(frozen=True)
class Abandoned:
    """Whoever asked for the run no longer waits for it."""


@dataclass(frozen=True)
class Late:
    """Nothing happened in time."""


Event = Union[Ended, Forbidden, Died, Unbegun, Lost, Abandoned, Late]
