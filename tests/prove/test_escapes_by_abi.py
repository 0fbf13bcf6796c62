"""All layers but one, for every attack, with each older Landlock that this kernel can stand for."""

from __future__ import annotations

import pytest
from laboratory import Laboratory
from test_escapes import HERE, all_but_one


@pytest.mark.parametrize("name", HERE)
def test_all_layers_but_one(laboratory: Laboratory, name: str) -> None:
    abis = laboratory.older_abis()
    assert abis, "this kernel can stand for no older one"
    for abi in abis:
        all_but_one(laboratory, name, abi)
