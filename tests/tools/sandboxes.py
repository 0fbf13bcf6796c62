"""For tests that embed a sandbox, or reach into its parts: settings of their own, a host in words, calls that fail."""

from __future__ import annotations

import os
from typing import Any, Callable

import pytest

from pyexec.config import Config
from pyexec.job import Host
from pyexec.runs import zygote_handles


def own_config(**settings: Any) -> Config:
    """Return settings for a sandbox of one run, with uids that no other sandbox on this machine has."""
    return Config.of(max_runs=1, uid_base=30000000 + 10 * os.getpid(), **settings)


def boot_with(monkeypatch: pytest.MonkeyPatch, statements: str) -> None:
    """Have these statements executed in each nursery that is started from here on, before anything else."""
    monkeypatch.setattr(
        zygote_handles, "_BOOT", zygote_handles._BOOT.replace("from pyexec.zygote", statements + "from pyexec.zygote")
    )


def without_mounts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have runs get their directories on disk, on this host as well."""
    refused = "from pyexec.kernel import namespaces as n; p = n.probe; "
    refused += "n.probe = lambda *a: (tuple(x for x in p(*a)[0] if x != 'mount'), {'mount': 'left out'}); "
    boot_with(monkeypatch, refused)


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
