"""The archive of sources holds what the repository holds, and the package built of it what a user needs."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from typing import Iterator, Set

import pytest
from support import ROOT

BUILD = "import sys, setuptools.build_meta as b; out = sys.argv[1]; b.build_sdist(out); b.build_wheel(out)"


def _tracked() -> Set[str]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
    return set(os.fsdecode(listed).split("\0")) - {""}


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Iterator[str]:
    """A directory with the archive, its contents, and the wheel made of a copy of what git tracks."""
    work = tmp_path_factory.mktemp("sdist")
    source, output = str(work / "source"), str(work / "output")
    for name in _tracked():
        os.makedirs(os.path.join(source, os.path.dirname(name)), exist_ok=True)
        with open(os.path.join(ROOT, name), "rb") as file, open(os.path.join(source, name), "wb") as copy:
            copy.write(file.read())
    # What lies about in a checkout in use must not get in.
    for name in ("tests/__pycache__/x.cpython-311.pyc", ".venv/x.py", "build/x.py", "dist/x"):
        os.makedirs(os.path.join(source, os.path.dirname(name)), exist_ok=True)
        open(os.path.join(source, name), "w").close()
    subprocess.run([sys.executable, "-c", BUILD, output], cwd=source, check=True, stdout=subprocess.DEVNULL)
    yield output


def _archive(built: str) -> tarfile.TarFile:
    (name,) = [name for name in os.listdir(built) if name.endswith(".tar.gz")]
    return tarfile.open(os.path.join(built, name))


def test_the_archive_holds_what_git_tracks(built: str) -> None:
    with _archive(built) as archive:
        names = {member.name.partition("/")[2] for member in archive if not member.isdir()}
    made = {name for name in names if name == "PKG-INFO" or ".egg-info/" in name}
    assert names - made == _tracked()


def test_the_tests_of_the_archive_can_be_run(built: str, tmp_path) -> None:
    with _archive(built) as archive:
        archive.extractall(str(tmp_path))
    (top,) = tmp_path.iterdir()
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
    subprocess.run(command + ["--collect-only"], cwd=str(top), check=True, stdout=subprocess.DEVNULL)
    subprocess.run(command + ["tests/test_packaging.py", "tests/api/test_pages.py"], cwd=str(top), check=True)


def test_the_wheel_holds_the_package_and_says_what_it_is(built: str) -> None:
    (name,) = [name for name in os.listdir(built) if name.endswith(".whl")]
    with zipfile.ZipFile(os.path.join(built, name)) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
        (metadata,) = [wheel.read(name).decode("utf-8") for name in wheel.namelist() if name.endswith("/METADATA")]
    assert names == {name for name in _tracked() if name.startswith("pyexec/")}
    lines = metadata.splitlines()
    for line in ("Requires-Python: >=3.8", "Classifier: Typing :: Typed", "License: MIT"):
        assert line in lines
    assert "Classifier: Programming Language :: Python :: 3.%d" % sys.version_info[1] in lines
