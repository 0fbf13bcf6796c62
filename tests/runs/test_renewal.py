"""Zygotes that are replaced while they serve: what a second generation must show, and what becomes of the first."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any, Callable, List

import pytest
from processes import await_that, command, descendants, parents
from servers import RunningServer
from support import in_threads, log_entries

from pyexec import Config, Job, Sandbox, log
from pyexec.errors import SandboxError
from pyexec.runs import renewal as renewal_module
from pyexec.runs import requirements
from pyexec.runs.zygote_handles import ZygoteHandle

Start = Callable[..., RunningServer]
SEED = "print(hash('a'))"


@pytest.fixture
def sandbox() -> Any:
    others = set(descendants(os.getpid()))
    with Sandbox(Config.of(max_runs=2)) as opened:
        yield opened
    assert set(descendants(os.getpid())) <= others  # of either generation


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> List[str]:
    found: List[str] = []
    monkeypatch.setattr(log, "say", lambda text, level="info": found.append(text))
    return found


def seed(sandbox: Sandbox, code: str = SEED) -> bytes:
    return sandbox.run(Job(code)).stdout


def nurseries() -> List[int]:
    """Return the processes that the zygotes of this process's sandbox come from."""
    return [pid for pid, parent in parents().items() if parent == os.getpid() and "pyexec.zygote" in command(pid)]


def await_renewals(sandbox: Sandbox, count: int) -> None:
    await_that(lambda: sandbox.state()["renewals"] == count, 60)


@pytest.mark.parametrize("code", [SEED, "import numpy\n" + SEED])
def test_a_renewal_brings_another_hash_seed_for_every_kind(sandbox: Sandbox, code: str) -> None:
    before = {seed(sandbox, code) for _ in range(5)}
    sandbox.renew()
    await_renewals(sandbox, 1)
    await_that(lambda: seed(sandbox, code) not in before)
    after = {seed(sandbox, code) for _ in range(5)}
    assert len(before) == len(after) == 1 and before != after
    assert sandbox.state()["restarts"] == 0


def test_the_generation_before_ends_once_its_runs_have(sandbox: Sandbox) -> None:
    outcome: List[Any] = []
    before, (nursery,) = seed(sandbox), nurseries()
    runner = threading.Thread(target=lambda: outcome.append(sandbox.run(Job("import time\ntime.sleep(4)\n" + SEED))))
    runner.start()
    time.sleep(0.2)
    sandbox.renew()
    await_renewals(sandbox, 1)
    assert seed(sandbox) != before or runner.is_alive()
    runner.join()
    assert (outcome[0].exit_code, outcome[0].stdout) == (0, before)
    await_that(lambda: len(nurseries()) == 1, 30, "the first generation's end")
    assert nurseries() != [nursery]


def test_a_second_renewal_waits_for_the_first_to_be_over(sandbox: Sandbox) -> None:
    for count in (1, 2, 3):
        sandbox.renew()
        sandbox.renew()
        await_renewals(sandbox, count)
        assert sandbox.run(Job("print(1)")).stdout == b"1\n"


def test_zygotes_are_renewed_by_themselves_after_a_while() -> None:
    with Sandbox(Config.of(max_runs=1, renew_s=1)) as sandbox:
        before = seed(sandbox)
        await_renewals(sandbox, 1)
        await_that(lambda: seed(sandbox) != before)
    with Sandbox(Config.of(max_runs=1, renew_s="none")) as sandbox:
        assert sandbox._keeper.rows.renew_at == float("inf")


def test_a_generation_with_fewer_layers_is_dropped(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, said: List[str]
) -> None:
    def fewer(report: Any, config: Any, before: Any) -> Any:
        raise SandboxError("layers that were on at the start can't be had now: seccomp")

    before, nursery = seed(sandbox), nurseries()
    monkeypatch.setattr(requirements, "layers_on", fewer)
    sandbox.renew()
    await_that(lambda: said, 60)
    assert said == [
        "the zygotes were not renewed, and go on: layers that were on at the start can't be had now: seccomp"
    ]
    assert seed(sandbox) == before and sandbox.state()["renewals"] == 0
    await_that(lambda: nurseries() == nursery, 30, "the end of what was dropped")
    monkeypatch.undo()
    sandbox.renew()
    await_renewals(sandbox, 1)


def test_a_generation_with_fewer_libraries_is_dropped(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, said: List[str]
) -> None:
    class Poorer(ZygoteHandle):
        def receive_ready(self) -> bool:
            ready = super().receive_ready()
            if self.libraries is not None:
                self.libraries["libraries"].pop("numpy", None)
            return ready

    before = seed(sandbox, "import numpy\n" + SEED)
    monkeypatch.setattr(renewal_module, "ZygoteHandle", Poorer)
    sandbox.renew()
    await_that(lambda: said, 60)
    assert "libraries that could be imported so far can't be loaded now: numpy" in said[0]
    assert seed(sandbox, "import numpy\n" + SEED) == before and sandbox.state()["renewals"] == 0


def test_a_nursery_that_dies_on_the_way_costs_nothing(sandbox: Sandbox, said: List[str]) -> None:
    before, known = seed(sandbox), set(nurseries())
    sandbox.renew()
    (new,) = await_that(lambda: set(nurseries()) - known)
    os.kill(new, signal.SIGKILL)
    await_that(lambda: said or sandbox.state()["renewals"], 60)
    assert seed(sandbox) == before and "were not renewed" in said[0]


def test_no_run_is_refused_or_lost_during_renewals(start_server: Start) -> None:
    running = start_server(rate_per_minute="none", rate_per_day="none", max_runs=4)
    over, seeds = threading.Event(), set()

    def work(place: int) -> int:
        count = 0
        while not over.is_set():
            if place == 0:  # renewals, one after the other
                running.process.send_signal(signal.SIGUSR1)
                wanted = count + 1
                try:
                    await_that(lambda: running.log.count("zygotes renewed") >= wanted, 60)  # noqa: B023
                except AssertionError:
                    over.set()
                    raise
                count += 1
                if count == 3:
                    over.set()
            else:
                code = SEED if place < 3 else "import numpy\n" + SEED
                result = running.client.execute(code)
                assert result.success
                seeds.add(result.stdout)
                count += 1
        return count

    counts = in_threads(4, work)
    assert all(isinstance(count, int) and count > 0 for count in counts), counts
    assert len(seeds) >= 3
    assert {entry["status"] for entry in log_entries(running.log) if "status" in entry} == {200}
