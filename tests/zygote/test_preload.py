"""Which modules of an operator's list are there, found out without importing any."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pyexec.job import COMPANIONS
from pyexec.zygote import preload


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a package, a module and a package without an __init__ on the path; importing any would fail."""
    for name in ("pack/__init__.py", "pack/sub/__init__.py", "pack/sub/low.py", "single.py", "space/part.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("raise SystemExit")
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("name", ["pack", "pack.sub", "pack.sub.low", "single", "space", "space.part"])
def test_what_an_operator_added_is_found(library: Path, name: str) -> None:
    assert preload.sort_out([name]) == ([], [name], [])
    assert name not in sys.modules


@pytest.mark.parametrize(
    "name",
    ["none", "none.sub", "pack.none", "pack.sub.none", "pack.none.low", "single.x", "space.none", "__main__", "sys.x"],
)
def test_what_nothing_provides_is_told(library: Path, name: str) -> None:
    assert preload.sort_out([name]) == ([], [], [name])


@pytest.mark.parametrize("name", ["json", "json.tool", "os.path", "sys", "xml.etree.ElementTree", "concurrent.futures"])
def test_what_the_standard_library_has_is_found(name: str) -> None:
    assert preload.sort_out([name]) == ([name], [], [])


def test_the_libraries_that_every_server_has_may_be_missing_but_not_in_part() -> None:
    assert preload.sort_out(["numpy", "PIL", "numpy.random", "reportlab.lib.units"]) == ([], [], [])
    assert preload.sort_out(["numpy.none", "PIL.Imgae"]) == ([], [], ["numpy.none", "PIL.Imgae"])


def test_a_companion_that_is_not_installed_is_no_error() -> None:
    """`+data` names what its libraries bring along today; a release that does without must not stop the server."""
    assert preload.sort_out(["no_such_module_x", *COMPANIONS])[2] == ["no_such_module_x"]
