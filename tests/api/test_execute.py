"""POST /execute step by step, without a socket."""

from __future__ import annotations

import contextlib
import time

import pytest
from support import in_threads

from pyexec.api import request as contract
from pyexec.api.routes import Service
from pyexec.config import Config
from pyexec.errors import ValidationError
from pyexec.http1.message import Head


def test_one_wide_body_is_parsed_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Text with a character outside of ASCII takes up to four times its bytes, and that twice over while parsed."""
    inside = [0, 0]

    def parse(body: bytes, config: Config) -> None:
        inside[0] += 1
        inside[1] = max(inside)
        time.sleep(0.05)
        inside[0] -= 1
        raise ValidationError("enough")

    monkeypatch.setattr(contract, "parse", parse)
    service = Service(Config.of(), None)  # type: ignore[arg-type]
    head = Head("POST", "/execute", "HTTP/1.1", {})
    body = b"x" * (1 << 20) + "\N{GRINNING FACE}".encode()
    answers = in_threads(4, lambda _: service._execute(head, body, "192.0.2.1", contextlib.ExitStack()).kind)
    assert answers == ["ValidationError"] * 4 and inside == [0, 1]
