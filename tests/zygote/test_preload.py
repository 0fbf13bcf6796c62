"""Which modules of an operator's list are there, found out without importing any."""

from __future__ import annotations

import mimetypes
import sys
import types
from pathlib import Path
from typing import Any

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


class _Odd(types.ModuleType):
    """A module that runs code of its own when it is asked for its version."""

    def __init__(self, answer: Any) -> None:
        super().__init__("odd")
        self._answer = answer

    def __getattr__(self, name: str) -> Any:
        if name != "__version__":
            raise AttributeError(name)
        if isinstance(self._answer, BaseException):
            raise self._answer
        return self._answer


@pytest.mark.parametrize(
    "answer, version",
    [
        ("1.2", "1.2"),
        (None, "?"),
        ((1, 2), "?"),
        (AttributeError("no"), "?"),
        (ZeroDivisionError("no"), "?"),
        (SystemExit("no"), "?"),
    ],
)
def test_a_library_that_does_not_say_its_version_is_no_error(
    monkeypatch: pytest.MonkeyPatch, answer: Any, version: str
) -> None:
    monkeypatch.setitem(sys.modules, "odd", _Odd(answer))
    assert preload.versions_of(["odd", "odd.part", "not_loaded"]) == {"odd": version, "not_loaded": "?"}


def test_the_version_of_a_library_that_has_none_is_its_distributions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pytest", types.ModuleType("pytest"))
    assert preload.versions_of(["pytest"]) == {"pytest": pytest.__version__}


def test_whatever_mimetypes_looks_at_may_be_read() -> None:
    assert set(mimetypes.knownfiles) <= set(preload._SYSTEM_READ)
