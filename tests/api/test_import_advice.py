"""What a refused import is answered with: what there is, and what does the same."""

from __future__ import annotations

import sys
import time

import pytest

from pyexec.api import import_tables
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
        (
            "yaml",
            "Instead of 'yaml' use 'json' or 'configparser'. The server's operator can add 'yaml', with --modules.",
        ),
        ("requests", "Scripts have no network: attach the data as files."),
        ("socket", "Scripts have no network: attach the data as files."),
        ("subprocess", "Instead of 'subprocess' use 'pathlib' or 'shutil'. Public scripts can't start processes: do"),
        ("multiprocessing", "Instead of 'multiprocessing' use 'concurrent' or 'threading'. Public scripts can't"),
        ("helper", "If 'helper' is a module of your own, attach it as helper.py."),
        ("posixpath", "Instead of 'posixpath' use 'pathlib'."),
        ("_thread", "Instead of '_thread' use 'threading'."),
        ("_ast", ""),
        ("tkinter", "Instead of 'tkinter' use 'PIL'. Scripts have no screen: draw into a picture, and save it."),
        ("turtle", "Instead of 'turtle' use 'PIL'. Scripts have no screen: draw into a picture, and save it."),
        ("curses", "Scripts have no screen: draw into a picture, and save it."),
        ("idlelib", "Scripts have no screen: draw into a picture, and save it."),
        ("pygame", "Instead of 'pygame' use 'PIL'. Scripts have no screen: draw into a picture, and save it."),
        ("msvcrt", "This isn't Windows."),
        ("winreg", "This isn't Windows."),
        ("winsound", "This isn't Windows."),
        ("msilib", "This isn't Windows."),
        ("code", "exec() runs code, and there is no console."),
        ("stringprep", "Instead of 'stringprep' use 'unicodedata'."),
        ("encodings", "Instead of 'encodings' use 'codecs'."),
        ("getpass", "Nobody can type a password here: read it with input(), from standard input."),
        ("readline", "input() reads standard input, and nobody edits its lines."),
        ("mmap", "Instead of 'mmap' use 'numpy'."),
        ("dbm", "Instead of 'dbm' use 'shelve' or 'sqlite3'."),
        ("faulthandler", "Instead of 'faulthandler' use 'traceback'."),
        ("filecmp", "Instead of 'filecmp' use 'difflib' or 'hashlib'."),
        ("pkgutil", "Attached files lie in the current directory: open them by name."),
        ("runpy", "Import the attached module itself."),
        ("pdb", "Instead of 'pdb' use 'traceback'. Nobody can talk to a debugger here: print() what you want to see."),
        ("fcntl", "No other run writes to these files, so that they need no lock."),
        ("mailbox", "Instead of 'mailbox' use 'email'."),
        ("imghdr", "Instead of 'imghdr' use 'PIL'."),
        ("sndhdr", "Instead of 'sndhdr' use 'wave'."),
        ("webbrowser", "Scripts have no network: attach the data as files."),
        ("xmlrpc", "Scripts have no network: attach the data as files."),
        ("wsgiref", "Scripts have no network and can't listen: call the functions directly."),
        ("flask", "Scripts have no network and can't listen: call the functions directly."),
        ("pip", "Scripts can't install anything."),
        ("google.colab", "This isn't Colab, and has no network: files are attached, and opened by name alone."),
        ("fitz", "No module here reads PDF files. The server's operator can add 'fitz', with --modules."),
        ("torch", "Instead of 'torch' use 'numpy'. The server's operator can add 'torch', with --modules."),
        ("transformers", "The server's operator can add 'transformers', with --modules."),
        ("sre_constants", "The server's operator can add 'sre_constants', with --modules."),
    ],
)
def test_a_module_has_its_advice(module: str, words: str) -> None:
    said = advice((module,), DEFAULT_MODULES)
    assert said.startswith(words + " " + LIBRARIES if words.endswith((".", "?")) else words)
    assert said.endswith(LIBRARIES)


def test_no_module_of_pythons_own_is_taken_for_one_of_the_callers_or_for_a_misspelt_one() -> None:
    """Whatever system and version of Python the server runs on: most of these names exist on some only."""
    names = set(sys.builtin_module_names) | set(getattr(sys, "stdlib_module_names", ())) | import_tables.STANDARD
    for name in names - set(DEFAULT_MODULES):
        said = advice((name,), DEFAULT_MODULES)
        assert "of your own" not in said and "Did you mean" not in said, name
        assert said.startswith(LIBRARIES) == name.startswith("_") or name in ("_thread", "_winapi"), name


def test_whatever_is_recommended_is_a_module_of_the_list_or_a_library_that_may_be_added() -> None:
    recommended = {name for names in import_tables.INSTEAD.values() for name in names.split()}
    assert recommended <= set(DEFAULT_MODULES) | import_tables.PACKAGES
    assert not set(import_tables.INSTEAD) & set(DEFAULT_MODULES)
    tables = (import_tables.NO_NETWORK, import_tables.SERVERS, import_tables.NO_PROCESSES, import_tables.NO_SCREEN)
    for table in (*tables, import_tables.WINDOWS, import_tables.INSTALLERS, import_tables.PACKAGES):
        assert not table & set(DEFAULT_MODULES)


def test_a_reader_of_pdf_files_that_was_added_is_recommended_for_another() -> None:
    said = advice(("fitz",), (*DEFAULT_MODULES, "pypdf"))
    assert said.startswith("Instead of 'fitz' use 'pypdf'.") and "No module" not in said


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
        " name. Scripts have no network: attach the data as files."
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
