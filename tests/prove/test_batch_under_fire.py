"""Five hundred scripts of every kind in one batch, while what runs them is killed, and so is the batch itself."""

from __future__ import annotations

from batches import MANY, check, run_under_fire, write_jobs
from figures import record

SCRIPTS = 500


def test_five_hundred_scripts_while_everything_is_killed(tmp_path) -> None:
    jobs, out = str(tmp_path / "jobs"), str(tmp_path / "out")
    expected = write_jobs(jobs, SCRIPTS)
    assert len({kind for kind, _ in expected.values()}) == len(MANY)
    assert run_under_fire(jobs, out, every_s=0.8, most_kills=40) >= 3
    check(out, expected)
    record("scripts in a batch", SCRIPTS)
