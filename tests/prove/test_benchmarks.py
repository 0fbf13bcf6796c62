"""The benchmark itself: that it runs, that it refuses wrong answers, that its page has a place for what it writes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from xml.etree import ElementTree

import pytest
from support import ROOT

from benchmarks import goals, jobs, load, measure, page, picture, processes, targets
from benchmarks.outcome import Outcome
from benchmarks.single import Memory

PRINT = jobs.make()[0]


def _bench(*flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *flags],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


def test_quick_run_prints_ratios_against_every_rival() -> None:
    done = _bench("--quick", "--only", "print", "--rounds", "1", "--slice-s", "0.2", "--also", "twin=" + ROOT)
    assert done.returncode == 0, done.stderr
    for name in ("pyexec", "twin", "in-process floor", "fresh interpreter", "bubblewrap"):
        # Two tables: light load, with a p50 and ratios, and throughput.
        assert len(re.findall(r"^\| print\(1\) \| %s +\| +\d" % re.escape(name), done.stdout, re.MULTILINE)) == 2, name
    # The goals of print(1), for both pyexecs.
    assert len(re.findall(r"^\| print\(1\), .*\| (met|MISSED) +\|$", done.stdout, re.MULTILINE)) == 6


def test_lonely_figures_are_measured() -> None:
    done = _bench("--phases", "layers", "--soak", "200")
    assert done.returncode == 0, done.stderr
    for name in (
        "fork and exit",
        "pid_namespace",
        "mount_namespace",
        "network_namespace",
        "landlock",
        "seccomp",
        "all",
    ):
        assert re.search(r"^\| %s.*\| +\d+ \|" % name, done.stdout, re.MULTILINE), name
    for name in ("memory, MiB", "descriptors", "threads", "processes"):
        assert re.search(r"^\| pyexec +\| %s +\| +[\d.]+ \|" % name, done.stdout, re.MULTILINE), name


def test_wrong_flags_are_refused() -> None:
    for flags in (["--only", "nothing"], ["--against", "docker"], ["--also", "floor=/"], ["--phases", "all"]):
        assert _bench(*flags).returncode == 2, flags


@pytest.mark.parametrize("job", jobs.make(), ids=lambda job: job.name)
def test_every_job_tells_a_wrong_answer(job: jobs.Job) -> None:
    """An empty success and an answer to another script are no right answers."""
    details = {"exit_code": 0, "stdout": "2\n", "output_files": {}}
    names = job.request.get("return_files", [])
    details["output_files"] = {name: {"content_base64": "AAAA", "size_bytes": 3} for name in names}
    with pytest.raises(AssertionError):
        job.check(json.dumps({"execution_details": details}).encode())


@pytest.mark.parametrize("code,status", [("print(2)", 200), ("1/0", 200), ("print(1", 200), ("print(1)", 404)])
def test_wrong_answer_ends_the_benchmark(code: str, status: int) -> None:
    wrong = jobs.Job("wrong", "wrong", {"code": code}, PRINT.check)
    target = targets.start_rival("floor")
    try:
        load.Caller(target, PRINT).ask()
        caller = load.Caller(target, wrong)
        if status == 404:
            caller._request = caller._request.replace(b"POST", b"PUT")
        with pytest.raises(load.WrongAnswer):
            caller.ask()
        with pytest.raises(load.WrongAnswer):
            load.closed_loop(target, wrong, 2, 0.1) if status == 200 else caller.ask()
    finally:
        target.stop()


def _outcome(print_s: float, rate: float) -> Outcome:
    made = {"pyexec": (print_s, rate), "floor": (0.001, 2000.0), "fresh": (0.02, 100.0)}
    outcome = Outcome([PRINT], list(made), "Measured on two cores.")
    for name, (taken, answers) in made.items():
        figures = measure.Figures([[taken] * 3, [taken] * 3], [], {callers: [answers] for callers in measure.CALLERS})
        outcome.results["print", name] = figures
    return outcome


def test_goals_are_met_and_missed_by_the_figures() -> None:
    good = {verdict.goal.what: verdict.met for verdict in goals.judge(_outcome(0.0015, 600), "pyexec")}
    assert list(good.values()) == [True, True, True] and all(what.startswith("print(1)") for what in good)
    assert [verdict.met for verdict in goals.judge(_outcome(0.0017, 499), "pyexec")] == [True, False, False]
    assert [verdict.met for verdict in goals.judge(_outcome(0.0021, 501), "pyexec")] == [False, False, True]
    assert len(goals.GOALS) == 14


def test_page_has_a_place_for_everything_measured() -> None:
    outcome = _outcome(0.0015, 600)
    outcome.starts = {"imports": [0.3], "pyexec": [0.4]}
    outcome.one_process, outcome.memory = 1 << 20, {"pyexec": Memory(2 << 20, 3 << 20)}
    outcome.layers = {"fork and exit": (500.0, 10.0), "seccomp": (700.0, 200.0)}
    held = processes.Holdings(1 << 20, 8, 60, 9)
    outcome.soaks, outcome.soak_runs = {"pyexec": (held, held)}, 10000
    with open(page.PAGE, encoding="utf-8") as file:
        text = file.read()
    parts = page.sections(outcome)
    assert set(parts) == set(re.findall(r"<!-- end of (\w+) -->", text))
    filled = page.filled(text, parts)
    assert all(part in filled for part in parts.values())
    assert page.filled(filled, parts) == filled
    with pytest.raises(ValueError):
        page.filled("nothing", parts)


def test_picture_is_well_formed_and_shows_every_server() -> None:
    text = picture.draw(_outcome(0.0015, 600))
    words = [element.text for element in ElementTree.fromstring(text).iter() if element.text]
    for name in ("pyexec", "in-process floor", "fresh interpreter", "1.50", "20.0"):
        assert name in words, name
    assert any("logarithmic" in word for word in words)
    assert "prefers-color-scheme: dark" in text
    assert os.path.exists(page.PICTURE)


def test_settled_tree_is_this_process_and_its_children() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert {os.getpid(), child.pid} <= set(processes.settled_tree(os.getpid()))
        assert processes.holdings(child.pid).processes == 1
        child.communicate(b"\n")
    assert child.pid not in processes.settled_tree(os.getpid())
