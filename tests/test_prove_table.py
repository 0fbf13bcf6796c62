"""The table at the end of the proofs has every figure that a test records, and no figure that none does."""

from __future__ import annotations

import os
import re
from typing import List

import pytest
from support import ROOT

from tests.prove import table

NAMES = table.EVERYWHERE + table.ONCE
COMPUTED = {"tests passed"}


def _recorded() -> List[str]:
    """Return the names of all figures that tests record, as patterns: a number may be part of one."""
    found = []
    for directory, _, files in os.walk(os.path.join(ROOT, "tests")):
        for name in files:
            if name.endswith(".py") and name != os.path.basename(__file__):
                with open(os.path.join(directory, name), encoding="utf-8") as file:
                    found += re.findall(r"\brecord\(\s*\"([^\"]+)\"", file.read())
    return [re.escape(name.replace("%%", "%")).replace("%d", r"\d+") for name in found]


RECORDED = _recorded()


def test_every_figure_that_is_recorded_is_in_the_table() -> None:
    missing = [pattern for pattern in RECORDED if not any(re.fullmatch(pattern, name) for name in NAMES)]
    assert len(RECORDED) > 40 and not missing


@pytest.mark.parametrize("name", sorted(set(NAMES) - COMPUTED))
def test_every_figure_of_the_table_is_recorded(name: str) -> None:
    assert any(re.fullmatch(pattern, name) for pattern in RECORDED)
