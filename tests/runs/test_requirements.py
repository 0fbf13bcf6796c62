"""What a server must have of its own before it starts."""

from __future__ import annotations

import os

import pytest

from pyexec.config import Config
from pyexec.errors import SandboxError
from pyexec.runs import requirements
from pyexec.runs.pool import Pool


def test_uids_of_users_are_not_taken() -> None:
    if os.geteuid() == 0:
        with pytest.raises(SandboxError, match="nobody"):
            Pool(Config.of(max_runs=1, uid_base=65533))
    else:  # an ordinary user's server gives no uids away
        Pool(Config.of(max_runs=1, uid_base=65533)).close()


def test_uids_are_those_that_nobody_hands_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    requirements.check_own_means(Config.of(max_runs=79))
    with pytest.raises(SandboxError, match="60706 to 61473.*up to 61183.*--uid-base"):
        requirements.check_own_means(Config.of(max_runs=256))
    requirements.check_own_means(Config.of(max_runs=256, uid_base=700000))
