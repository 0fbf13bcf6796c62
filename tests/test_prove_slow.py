"""The long proofs' own machinery: records read and compared, a suite that differs inside found out, the report."""

from __future__ import annotations

import argparse
import dataclasses
import io
import os
import tarfile
from pathlib import Path
from typing import Dict, List

import pytest

from tests.prove_slow import __main__ as command
from tests.prove_slow import outcomes, places, report, sources, suites

# One test of each kind. Only `test_reads_proc` can tell the two places apart: a run has no readable /proc.
TESTS = """
import os, pytest

def test_forks():
    pid = os.fork()
    if pid == 0:
        raise RuntimeError("the child must not go on with the other tests")
    assert os.WEXITSTATUS(os.waitpid(pid, 0)[1]) == 70
def test_passes(): assert os.listdir(".") == [] or True
def test_fails(): assert 1 == 2
def test_skipped(): pytest.skip("not today")
@pytest.mark.xfail
def test_expected(): assert False
@pytest.fixture
def broken(): raise RuntimeError("set-up")
def test_error(broken): pass
def test_reads_proc(): open("/proc/self/status").close()
"""


def records(*lines: str) -> outcomes.Outcomes:
    return outcomes.read("\n".join(lines))


def test_a_suite_that_breaks_off_names_the_test_that_was_running() -> None:
    found = records('["start", "a"]', '["end", "a", "passed", ""]', '["start", "b"]')
    assert (found.tests, found.interrupted, found.finished) == ({"a": ("passed", "")}, "b", False)


def test_a_record_cut_off_by_a_kill_is_dropped() -> None:
    assert records('["end", "a", "passed", ""]', '["end", "b", "pas').tests == {"a": ("passed", "")}


@pytest.mark.parametrize("lines", [("nonsense", '["finished", 0]'), ('["end", "a", "passed", ""]',) * 2])
def test_records_that_are_none_or_repeat_a_test_are_refused(lines: List[str]) -> None:
    with pytest.raises(outcomes.SuiteError):
        records(*lines)


@pytest.mark.parametrize(
    "outside, inside, lost",
    [
        ("passed", "failed", True),
        ("passed", "error", True),
        ("passed", "skipped", True),
        ("passed", outcomes.ABSENT, True),
        ("xfailed", "failed", True),
        ("skipped", "failed", True),
        (outcomes.ABSENT, "failed", True),
        ("failed", "passed", False),
        ("xfailed", "xpassed", False),
        ("failed", "error", False),
        ("error", outcomes.ABSENT, False),
        ("skipped", "passed", False),
        ("skipped", outcomes.ABSENT, False),
    ],
)
def test_what_is_lost_inside(outside: str, inside: str, lost: bool) -> None:
    def place(outcome: str) -> outcomes.Outcomes:
        tests = {} if outcome == outcomes.ABSENT else {"t": (outcome, "why")}
        return outcomes.Outcomes(tests, None, True)

    (difference,) = outcomes.compare(place(outside), place(inside))
    assert (difference.name, difference.outside, difference.inside, difference.lost) == ("t", outside, inside, lost)


def test_the_same_outcome_is_no_difference() -> None:
    one, other = (outcomes.Outcomes({"t": ("failed", why)}, None, True) for why in ("here", "there"))
    assert outcomes.compare(one, other) == []


@pytest.fixture
def small_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> argparse.Namespace:
    """A suite of one file, in the place of all others; and the options that find its archive."""
    suite = sources.Suite("pytest", ("-q", "-p", "no:cacheprovider", "."), leave_out=("src",))
    monkeypatch.setattr(sources, "SUITES", (suite,))
    files: Dict[str, str] = {"test_small.py": TESTS, "src/test_left_out.py": "def test_never(): pass"}
    with tarfile.open(os.path.join(str(tmp_path), "pytest-%s.tar.gz" % suite.version), "w:gz") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo("pytest-1/" + name)
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return argparse.Namespace(library=None, select=None, judge=False, archives=str(tmp_path))


def test_a_test_that_only_fails_inside_is_found_and_named(small_suite: argparse.Namespace) -> None:
    section = suites.prove(small_suite)
    assert not section.held
    assert "`test_small.py::test_reads_proc`: passed outside, failed inside." in section.body
    assert section.body.count(" outside, ") == 1
    assert "| 7 | 6 | 3 / 2 | 2 / 3 | 1 / 1 | 1 / 1 |" in section.body
    assert "2 fail inside and outside alike" in section.body


def test_without_that_test_the_claim_holds(small_suite: argparse.Namespace) -> None:
    small_suite.select = "not proc"
    section = suites.prove(small_suite)
    assert section.held
    assert "| 6 | 6 | 2 / 2 | 2 / 2 | 1 / 1 | 1 / 1 |" in section.body


def test_a_difference_by_design_is_named_and_forgiven(
    small_suite: argparse.Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not suites.prove(small_suite).held
    small_suite.judge = True  # the same records, judged anew
    (suite,) = sources.SUITES
    known = {"test_small.py::test_reads_proc": "a run has no /proc"}
    monkeypatch.setattr(sources, "SUITES", (dataclasses.replace(suite, known=known),))
    section = suites.prove(small_suite)
    assert section.held
    assert ": passed outside, failed inside, by design: a run has no /proc." in section.body


def test_a_suite_that_cannot_be_had_holds_nothing(
    small_suite: argparse.Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "SUITES", (sources.Suite("no-such-library", ()),))
    section = suites.prove(small_suite)
    assert not section.held and "no-such-library is not installed" in section.body


def test_a_section_replaces_its_own_and_leaves_the_others(tmp_path: Path) -> None:
    path = os.path.join(str(tmp_path), "report.md")
    report.write(path, "one", report.Section("First", "old words", True))
    report.write(path, "two", report.Section("Second", "kept", False))
    report.write(path, "one", report.Section("First", "new words", True))
    with open(path, encoding="utf-8") as file:
        text = file.read()
    assert text.startswith("# ") and text.count("## First") == text.count("## Second") == 1
    assert "new words" in text and "old words" not in text and "**Did not hold** on " in text
    assert text.index("new words") < text.index("kept")


def test_the_report_names_neither_host_nor_path() -> None:
    text = report.machine()
    assert os.uname().nodename not in text.split() and "/" not in text


def test_an_unknown_proof_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(["no-such-proof"])
    assert ended.value.code == 2 and "no-such-proof" in capsys.readouterr().err


def test_the_script_fits_what_the_server_takes() -> None:
    assert len(places.SCRIPT) <= int(places._SETTINGS["code_chars"])
