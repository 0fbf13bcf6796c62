"""What a refused import is answered with: what there is, and what does the same."""

from __future__ import annotations

import time

import pytest

from pyexec.api.import_advice import advice
from pyexec.config import DEFAULT_MODULES

LIBRARIES = "Libraries that may be imported: numpy, PIL, reportlab, fpdf. 'allowed' lists all modules."


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("os", "Instead of 'os' use 'pathlib', 'shutil' or 'glob'."),
        ("os.path", "Instead of 'os' use 'pathlib', 'shutil' or 'glob'."),
        ("nunpy", "Did you mean 'numpy'?"),
        ("Math", "Did you mean 'math'?"),
        ("numpy_", "Did you mean 'numpy'?"),
        ("pilow", "If 'pilow' is a module of your own, attach it as pilow.py."),
        ("yaml", "Instead of 'yaml' use 'json' or 'configparser'."),
        ("requests", "Scripts have no network."),
        ("socket", "Scripts have no network."),
        ("subprocess", "Public scripts can't start processes."),
        ("multiprocessing", "Instead of 'multiprocessing' use 'concurrent' or 'threading'. Public scripts can't"),
        ("helper", "If 'helper' is a module of your own, attach it as helper.py."),
        ("posixpath", ""),  # installed, and not allowed
        ("_thread", ""),
    ],
)
def test_a_module_has_its_advice(module: str, words: str) -> None:
    said = advice((module,), DEFAULT_MODULES)
    assert said.startswith(words + " " + LIBRARIES if words.endswith((".", "?")) else words)
    assert said.endswith(LIBRARIES)


def test_only_what_may_be_imported_is_recommended() -> None:
    assert "pathlib" not in advice(("os",), ("math", "shutil"))
    assert "Instead of 'os' use 'shutil'." in advice(("os",), ("math", "shutil"))
    assert advice(("os",), ("math",)) == "No library may be imported. 'allowed' lists all modules."
    assert "imported: numpy, pandas." in advice(("os",), ("math", "numpy", "pandas"))


def test_of_a_library_that_is_allowed_in_part_the_parts_are_named() -> None:
    allowed = ("math", "numpy", "scipy.stats", "scipy.special", "xml.etree")
    assert advice(("scipy.optimize",), allowed) == (
        "Of 'scipy' only 'scipy.stats' and 'scipy.special' may be imported."
        " Libraries that may be imported: numpy, scipy.stats, scipy.special. 'allowed' lists all modules."
    )
    assert advice(("xml.sax",), allowed).startswith("Of 'xml' only 'xml.etree' may be imported.")


def test_a_file_with_the_name_of_a_loaded_module_is_told() -> None:
    said = advice(("os", "socket"), DEFAULT_MODULES, ("os.py", "data.csv"))
    assert said.startswith(
        "The attached os.py can't be imported: the module 'os' is loaded before the script begins. Give the file another"
        " name. Scripts have no network."
    )
    assert "Instead" not in said


def test_several_modules_have_one_answer() -> None:
    said = advice(("os", "os.path", "socket", "requests"), DEFAULT_MODULES)
    assert said.count("Instead of 'os'") == said.count("no network") == said.count("Libraries that") == 1


def test_hostile_names_cost_little() -> None:
    names = tuple("a" * 30 + "%03d" % n for n in range(100)) + ("b" * 200,)
    started = time.process_time()
    assert len(advice(names, DEFAULT_MODULES)) < 1000
    assert time.process_time() - started < 1
