"""What a server must have of its own before it starts."""

from __future__ import annotations

import os

import pytest

from pyexec.config import Config
from pyexec.errors import SandboxError
from pyexec.runs import requirements


def test_uids_of_users_are_not_taken() -> None:
    config = Config.of(max_runs=1, uid_base=65533)
    if os.geteuid() == 0:
        with pytest.raises(SandboxError, match="nobody"):
            requirements.check_own_means(config)
    else:  # an ordinary user's server gives no uids away
        requirements.check_own_means(config)


def test_uids_are_those_that_nobody_hands_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    requirements.check_own_means(Config.of(max_runs=79))
    with pytest.raises(SandboxError, match="60706 to 62241.*up to 61183.*--uid-base"):
        requirements.check_own_means(Config.of(max_runs=256))
    requirements.check_own_means(Config.of(max_runs=256, uid_base=700000))
