"""What a run left is opened whatever its mode, by a server that isn't root; and nothing else is touched."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import tempfile
from typing import Any, Callable, Iterator

import pytest
from sandboxes import failing

from pyexec.runs import workdir
from pyexec.runs.open_below import open_below

MODES = [0o000, 0o111, 0o300, 0o444]
NOBODY = 65534


def without_root(call: Callable[[], int]) -> int:
    """Return what a process returns that isn't root, by its exit code; 255 if it fails."""
    pid = os.fork()
    if pid == 0:
        try:
            if os.getuid() == 0:
                os.setresuid(NOBODY, NOBODY, NOBODY)
            os._exit(call())
        finally:
            os._exit(255)
    return os.WEXITSTATUS(os.waitpid(pid, 0)[1])


@pytest.fixture
def directory() -> Iterator[Any]:
    """A path that others may enter, in which a run left a directory with two files."""
    with tempfile.TemporaryDirectory() as path:
        os.chmod(path, 0o755)
        os.mkdir(path + "/d")
        for name in ("d/a", "d/b"):
            with open(os.path.join(path, name), "w") as file:
                file.write("kept")
        for name in ("", "d", "d/a", "d/b"):
            if os.getuid() == 0:
                os.chown(os.path.join(path, name), NOBODY, -1)
        yield path
        os.chmod(path + "/d", 0o700)


@pytest.mark.parametrize("mode", MODES)
def test_a_directory_is_counted_whatever_its_mode(directory: str, mode: int) -> None:
    os.chmod(directory + "/d", mode)
    fd = os.open(directory, workdir.DIRECTORY)
    assert without_root(lambda: workdir.usage(fd, 10).files) == 3
    os.close(fd)


@pytest.mark.parametrize("mode", MODES)
def test_a_file_comes_back_whatever_its_mode_and_that_of_its_directory(directory: str, mode: int) -> None:
    os.chmod(directory + "/d/a", mode)
    os.chmod(directory + "/d", mode)
    fd = os.open(directory, workdir.DIRECTORY)
    assert without_root(lambda: next(workdir.collect(fd, ["d/a"], 10)).content == b"kept") == 1
    os.close(fd)


@pytest.mark.parametrize("mode", [0o300, 0o444])
def test_what_can_not_be_opened_up_counts_as_more_than_is_allowed(directory: str, mode: int, monkeypatch) -> None:
    """Since nobody knows what is in it."""
    for name in ("chmod", "fchmod"):
        monkeypatch.setattr(os, name, failing(PermissionError(errno.EPERM, "not the owner")))
    subprocess.run(["chmod", oct(mode)[2:], directory + "/d"], check=True)
    fd = os.open(directory, workdir.DIRECTORY)
    assert without_root(lambda: workdir.usage(fd, 10).files) == 11
    os.close(fd)
    monkeypatch.undo()


def test_no_link_is_followed(directory: str) -> None:
    os.chmod(directory + "/d/a", 0)
    os.symlink("a", directory + "/d/link")
    fd = os.open(directory + "/d", workdir.DIRECTORY)
    with pytest.raises(OSError, match="symbolic links"):
        open_below("link", workdir.FILE, fd)
    os.close(fd)
    assert stat.S_IMODE(os.stat(directory + "/d/a").st_mode) == 0
