"""One zygote while it loads: what libraries find there, and what must not stay with the runs."""

from __future__ import annotations

import os
import sys
import types
from pathlib import Path

import pytest

from pyexec.zygote import row

# As matplotlib keeps the answers of two functions that are asked at its import.
LIBRARY = """
import functools, os
def _logged_cached(function):
    called = False
    ret = None
    @functools.wraps(function)
    def wrapper(**kwargs):
        nonlocal called, ret
        if not called:
            ret = function(**kwargs)
            called = True
        return ret
    return wrapper
@_logged_cached
def get_configdir():
    return os.environ["MPLCONFIGDIR"]
@_logged_cached
def get_cachedir():
    return os.environ["MPLCONFIGDIR"] + "/cache"
"""


def test_no_place_of_the_import_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = types.ModuleType("matplotlib")
    exec(LIBRARY, vars(library))
    monkeypatch.setitem(sys.modules, "matplotlib", library)
    with row._cache_directory(str(tmp_path)):
        (made,) = os.listdir(tmp_path)
        assert library.get_configdir() == os.environ["HOME"] == str(tmp_path / made)
        assert library.get_cachedir() == str(tmp_path / made / "cache")
    assert os.listdir(tmp_path) == [] and "MPLCONFIGDIR" not in os.environ
    monkeypatch.setenv("MPLCONFIGDIR", "/elsewhere")
    assert (library.get_configdir(), library.get_cachedir()) == ("/elsewhere", "/elsewhere/cache")
