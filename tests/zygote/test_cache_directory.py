"""The home of libraries while they are imported: what must not stay with the runs, nor on the disk."""

from __future__ import annotations

import errno
import fcntl
import os
import sys
import types
from pathlib import Path

import pytest
from sandboxes import failing

from pyexec.zygote import cache_directory

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
    with cache_directory.of_an_import(str(tmp_path)):
        (made,) = os.listdir(tmp_path)
        assert library.get_configdir() == os.environ["HOME"] == str(tmp_path / made)
        assert library.get_cachedir() == str(tmp_path / made / "cache")
    assert os.listdir(tmp_path) == [] and "MPLCONFIGDIR" not in os.environ
    monkeypatch.setenv("MPLCONFIGDIR", "/elsewhere")
    assert (library.get_configdir(), library.get_cachedir()) == ("/elsewhere", "/elsewhere/cache")


def test_what_nobody_has_locked_is_removed_but_not_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that crashes at its import leaves its directory; another server may be between making and locking."""
    (tmp_path / "pyexec-import-crashed").mkdir()
    (tmp_path / "pyexec-import-crashed" / "fontlist.json").write_text("{}")
    (tmp_path / "pyexec-other").mkdir()
    os.symlink(tmp_path / "pyexec-other", tmp_path / "pyexec-import-link")
    (tmp_path / "pyexec-import-used").mkdir()
    with cache_directory.of_an_import(str(tmp_path)):
        assert len(os.listdir(tmp_path)) == 5
    monkeypatch.setattr(cache_directory, "_NEW_S", 0.0)
    used = os.open(tmp_path / "pyexec-import-used", os.O_RDONLY)
    fcntl.flock(used, fcntl.LOCK_EX)
    with cache_directory.of_an_import(str(tmp_path)):
        assert len(os.listdir(tmp_path)) == 4
    os.close(used)
    assert sorted(os.listdir(tmp_path)) == ["pyexec-import-link", "pyexec-import-used", "pyexec-other"]


def test_a_directory_that_can_not_be_listed_serves_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "listdir", failing(PermissionError(errno.EACCES, "not ours to list")))
        with cache_directory.of_an_import(str(tmp_path)):
            assert os.path.dirname(os.environ["HOME"]) == str(tmp_path)


def test_where_nothing_can_be_written_libraries_are_imported_all_the_same(tmp_path: Path) -> None:
    home = os.environ.get("HOME")
    with cache_directory.of_an_import(str(tmp_path / "missing")):
        assert os.environ.get("HOME") == home
