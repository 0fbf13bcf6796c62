"""The walk of POST /execute over a sandbox that is made up: what an error costs, and what is given back."""

from __future__ import annotations

import contextlib
import json
import time
import types
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import pytest
from support import in_threads

from pyexec.accounts import Now
from pyexec.api import request as contract
from pyexec.api.execute import Execute
from pyexec.api.metrics import Metrics
from pyexec.config import Config
from pyexec.errors import ServerBusy, ValidationError
from pyexec.http1.answer import Answer, Asked, made_as_written
from pyexec.http1.memory import AnswerBudget
from pyexec.http1.message import Head
from pyexec.job import ENDED, FORBIDDEN, TIMEOUT, Job, Outcome
from pyexec.limits import Admission

PEER = "192.0.2.1"
FAILURES: Dict[str, Tuple[BaseException, int]] = {
    "busy": (ServerBusy("No."), 503),
    "fault": (RuntimeError("broken"), 500),
    "memory": (MemoryError(), 500),
}


class Sandbox:
    """Collects a thousand bytes, then fails or gives an outcome."""

    report = types.SimpleNamespace(installed=("numpy",), own_tree=True)

    def __init__(self, verdict: str = ENDED, failure: Optional[BaseException] = None) -> None:
        self.outcome, self.failure = Outcome(verdict, 0, 0.1, b"out", modules=("os",)), failure
        self.jobs: List[Job] = []
        self.left = 0

    @contextlib.contextmanager
    def execution(self, job: Job, count: Callable[[int], None], presence: object) -> Iterator[Outcome]:
        self.jobs.append(job)
        count(1000)
        if self.failure is not None:
            raise self.failure
        yield self.outcome
        self.left += 1


class Server:
    """The parts that a request goes through, with the sandbox made up."""

    def __init__(self, sandbox: Sandbox, **settings: Any) -> None:
        config = Config.of(**settings)
        self.limits, self.answers = Admission(config), AnswerBudget(config.answers_bytes)
        self.execute = Execute(config, sandbox, self.limits, self.answers, Metrics())  # type: ignore[arg-type]

    def ask(self, document: Any, **fields: str) -> Tuple[Answer, Dict[str, Any]]:
        with contextlib.ExitStack() as after:
            body = json.dumps(document).encode("utf-8")
            answer = self.execute(Asked(Head("POST", "/execute", "HTTP/1.1", fields), body, PEER, after))
            shown = json.loads(b"".join(made_as_written(answer.parts)))
        assert self.limits.active == 0
        return answer, shown

    @property
    def used(self) -> int:
        caller = self.execute.caller(Head("POST", "/execute", "HTTP/1.1", {}), PEER)
        return self.limits.quota(caller, Now.read()).used_today


@pytest.mark.parametrize("verdict, status", [(ENDED, 200), (TIMEOUT, 400), (FORBIDDEN, 400)])
def test_a_run_costs_one_and_is_cleaned_up_behind_its_answer(verdict: str, status: int) -> None:
    sandbox = Sandbox(verdict)
    server = Server(sandbox)
    answer, shown = server.ask({"code": "1"})
    assert (answer.status, server.used, sandbox.left) == (status, 1, 1)
    assert ("execution_details" in shown) == (verdict != FORBIDDEN)
    assert answer.kept is not None and answer.kept.held == 1000  # until it is written
    assert [name for name, _ in answer.stages] == ["parse", "admit", "render"]
    assert shown["user_info"]["requests_today"] == 1


@pytest.mark.parametrize("name", FAILURES)
def test_a_run_that_failed_by_our_fault_costs_nothing(name: str, capsys: Any) -> None:
    failure, status = FAILURES[name]
    server = Server(Sandbox(failure=failure))
    answer, shown = server.ask({"code": "1"})
    assert (answer.status, server.used, shown["user_info"]["requests_today"]) == (status, 0, 0)
    assert answer.kept is not None and answer.kept.held == 0
    logged = capsys.readouterr().err
    assert (answer.fault != "" and answer.fault in logged) == (status == 500)
    assert "broken" not in json.dumps(shown)


def test_memory_of_an_answer_is_given_back_even_if_the_error_fails_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(Sandbox(failure=RuntimeError("first")), answers_bytes=1500)

    def fail(*_: Any) -> None:
        raise MemoryError

    with monkeypatch.context() as broken:
        broken.setattr(server.limits, "quota", fail)
        with pytest.raises(MemoryError):
            server.ask({"code": "1"})
    assert server.answers._held == 0


def test_only_the_right_key_makes_an_admins_job() -> None:
    sandbox = Sandbox()
    server = Server(sandbox, admin_key="key")
    for document, fields in (({"api_key": "key"}, {}), ({}, {"authorization": "Bearer key"})):
        answer, shown = server.ask({"code": "1", **document}, **fields)
        assert (answer.caller, shown["user_info"]["role"]) == ("admin", "admin")
    answer, shown = server.ask({"code": "1", "api_key": "guess"}, authorization="Bearer key")
    assert (answer.status, answer.caller) == (401, PEER)
    server.ask({"code": "1"})
    assert [job.admin for job in sandbox.jobs] == [True, True, False]


def test_a_malformed_request_costs_a_run_beyond_64_kib() -> None:
    server = Server(Sandbox(), admin_key="key")
    for document, used in (({"x": 1}, 0), ({"x": "y" * 65000}, 0), ({"x": "y" * 66000}, 1)):
        assert (server.ask(document)[0].status, server.used) == (400, used)
    assert server.ask({"x": "y" * 66000}, authorization="Bearer key")[0].status == 400
    assert server.used == 1


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
    config = Config.of()
    walk = Execute(config, None, Admission(config), AnswerBudget(config.answers_bytes), Metrics())  # type: ignore[arg-type]
    head = Head("POST", "/execute", "HTTP/1.1", {})
    body = b"x" * (1 << 20) + "\N{GRINNING FACE}".encode()
    answers = in_threads(4, lambda _: walk(Asked(head, body, "192.0.2.1", contextlib.ExitStack())).kind)
    assert answers == ["ValidationError"] * 4 and inside == [0, 1]


def test_a_hint_comes_with_the_answer() -> None:
    sandbox = Sandbox()
    sandbox.outcome = Outcome(ENDED, 1, 0.1, stderr=b"ModuleNotFoundError: No module named 'x'\n")
    _, shown = Server(sandbox).ask({"code": "import x"})
    assert shown["execution_details"]["hint"].endswith("Installed beside the standard library: numpy.")
