"""For tests that embed a sandbox, or reach into its parts: settings of their own, a host in words, calls that fail."""

from __future__ import annotations

import os
from typing import Any, Callable

from pyexec.config import Config
from pyexec.job import Host


def own_config(**settings: Any) -> Config:
    """Return settings for a sandbox of one run, with uids that no other sandbox on this machine has."""
    return Config.of(max_runs=1, uid_base=30000000 + 10 * os.getpid(), **settings)


def able_host(**given: object) -> Host:
    """Return a host that an ordinary user's server finds without namespaces, but for what is given."""
    known: dict = dict(uid=1000, gid=1000, own_uids=False, namespaces=(), landlock_abi=7, seccomp=True, refusals={})
    known.update(given)
    return Host(**known)


def failing(error: BaseException) -> Callable[..., Any]:
    """Return a function that takes anything and raises this."""

    def fail(*_: object, **__: object) -> Any:
        raise error

    return fail
