"""Where a library's tests come from: its installed wheel, its source distribution, or its repository at the release.

Whatever is fetched is of the very version that is installed, and is kept in a folder, so that it is fetched once.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from importlib import metadata
from typing import Dict, List, Optional, Tuple

from tests.prove_slow.outcomes import SuiteError

_FETCH_S = 600


@dataclass(frozen=True)
class Suite:
    """The tests of one library: where they are, what is left out of the archive, how pytest is called."""

    name: str
    arguments: Tuple[str, ...]
    origin: str = "source distribution"  # or "wheel", "repository"
    repository: str = ""
    leave_out: Tuple[str, ...] = ()  # folders of the archive; above all the code, so that the installed one is tested
    environment: Dict[str, str] = field(default_factory=dict)  # "{here}" stands for the folder that pytest runs in
    prelude: str = ""  # Python that runs in that folder before pytest does
    remark: str = ""
    known: Dict[str, str] = field(default_factory=dict)  # test that ends otherwise inside by design → why

    @property
    def version(self) -> str:
        """The installed version. Raises SuiteError if there is none."""
        try:
            return metadata.version(self.name)
        except metadata.PackageNotFoundError:
            raise SuiteError("%s is not installed" % self.name) from None


# "addopts=": their projects' own flags ask for plug-ins (coverage, coloured summaries) that say nothing of the library.
# A file that can't be imported, for lack of something that isn't installed, must not keep the others from running.
_COMMON = ("-q", "-p", "no:cacheprovider", "-o", "addopts=", "-o", "log_cli=false", "--continue-on-collection-errors")
# Its tests look for their files beside the script that runs them, which is its own runner otherwise.
_REPORTLAB = """
import os, sys
from reportlab.lib.testutils import setOutDir
os.chdir("tests")
sys.path.insert(0, os.getcwd())
sys.argv[0] = os.path.abspath("runAll.py")
setOutDir("__main__")
"""
# The shortest first.
SUITES = (
    Suite(
        "reportlab",
        _COMMON + (".",),
        leave_out=("src", "tests/charts-out", "tests/render-out", "tests/barcode-out"),
        prelude=_REPORTLAB,
    ),
    Suite(
        "fpdf2",
        # What these fetch is there for the plain process on a machine with a network, and never for a run.
        _COMMON
        + ("--deselect=test/image/test_url_images.py", "--deselect=test/layout/test_page_background.py", "test"),
        origin="repository",
        repository="https://github.com/py-pdf/fpdf2",
        leave_out=("fpdf",),
        remark="from its repository at the release, since its source distribution has no tests; without two files of tests"
        " that need a network",
    ),
    Suite("pillow", _COMMON + ("Tests",), leave_out=("src", "docs")),
    Suite(
        "numpy",
        _COMMON + ("-m", "not slow", "--pyargs", "numpy"),
        origin="wheel",
        # What tests may allocate is asked from /proc/meminfo otherwise, where a run sees its own budget. No program on
        # the path: some tests compile extensions where they find meson, with headers that a run doesn't see.
        environment={"NPY_AVAILABLE_MEM": "2 GB", "PATH": "/nonexistent"},
        remark="without the tests that numpy marks as slow, and without a compiler, which f2py's tests ask for",
        known={
            "_core/tests/test_cpu_features.py::Test_X86_Features::test_features": "it looks for the processor's features"
            " in /proc/cpuinfo, where a run finds none",
        },
    ),
)


def archive(suite: Suite, folder: str) -> Optional[str]:
    """Return the path of the archive with the tests, fetched into the folder if it isn't there; None for a wheel.

    Raises:
        SuiteError: it can't be had.
    """
    if suite.origin == "wheel":
        return None
    path = os.path.join(folder, "%s-%s.tar.gz" % (suite.name, suite.version))
    if not os.path.exists(path):
        if suite.origin == "repository":
            _pack_release(suite, path)
        else:
            _download(suite, folder)
        if not os.path.exists(path):
            raise SuiteError("no %s was fetched" % os.path.basename(path))
    return path


def _download(suite: Suite, folder: str) -> None:
    wanted = "%s==%s" % (suite.name, suite.version)
    flags = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-binary", suite.name, "--dest", folder]
    _call([sys.executable, "-m", "pip", "download"] + flags + [wanted])


def _pack_release(suite: Suite, path: str) -> None:
    with tempfile.TemporaryDirectory() as clone:
        flags = ["--quiet", "--depth", "1", "--branch", suite.version]
        _call(["git", "-c", "advice.detachedHead=false", "clone"] + flags + [suite.repository, clone])
        prefix = "--prefix=%s-%s/" % (suite.name, suite.version)
        _call(["git", "-C", clone, "archive", "--format=tar.gz", prefix, "--output", path, "HEAD"])


def _call(command: List[str]) -> None:
    environment = dict(os.environ, GIT_TERMINAL_PROMPT="0")
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_FETCH_S,
            env=environment,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SuiteError("%s: %s" % (" ".join(command[:3]), error)) from error
    if done.returncode:
        raise SuiteError("%s failed: %s" % (" ".join(command[:4]), done.stdout.strip()[-500:]))
