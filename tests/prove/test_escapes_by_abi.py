"""All layers but one, for every attack, with each older Landlock that this kernel can stand for."""

from __future__ import annotations

import pytest
from laboratory import HERE, Laboratory, all_but_one


@pytest.mark.parametrize("name", HERE)
def test_all_layers_but_one_with_each_older_landlock(laboratory: Laboratory, name: str) -> None:
    abis = laboratory.older_abis()
    assert abis, "this kernel can stand for no older one"
    for abi in abis:
        all_but_one(laboratory, name, abi)
