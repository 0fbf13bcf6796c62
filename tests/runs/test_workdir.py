"""A run's directory as the server handles it: names, files asked for, the look that measures it."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import tempfile
import time
from typing import Any, Iterator, List

import pytest
from sandboxes import failing

from pyexec.runs import workdir

NOT_UTF8 = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}


@pytest.fixture
def directory(tmp_path: Any) -> Iterator[int]:
    """A descriptor of tmp_path."""
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


# -- files asked for --------------------------------------------------------------------------------------------------


def test_two_spellings_of_a_path_are_one_file(server) -> None:
    names = ["a", "./a", "././a", ".//a", "a/", "d/b", "d//b", "./d/./b", "c", "./c"]
    result = server.admin.execute("import os\nopen('a', 'w').write('1'); os.mkdir('d'); open('d/b', 'w').write('2')", return_files=names)  # fmt: skip
    assert result.files == {"a": b"1", "d/b": b"2"} and list(result.file_errors) == ["c"]


def test_a_file_of_many_names_is_read_once(directory, tmp_path, monkeypatch) -> None:
    """Ten links of one file took ten times its size of the server's memory."""
    (tmp_path / "a").write_bytes(b"content")
    names = ["a"] + ["link%d" % n for n in range(9)]
    for name in names[1:]:
        os.link(tmp_path / "a", tmp_path / name)
    reads: List[int] = []
    read_capped = workdir.read_capped
    monkeypatch.setattr(workdir, "read_capped", lambda fd, most: reads.append(fd) or read_capped(fd, most))
    found = list(workdir.collect(directory, names, 100))
    assert [file.name for file in found] == names and {file.content for file in found} == {b"content"}
    assert len(reads) == 1 and len({id(file.content) for file in found}) == 1


def test_names_are_utf_8_whatever_the_locale(start_server) -> None:
    """`return_files: ["€"]` was a 500 after the run, at no charge and without end."""
    running = start_server(environment=dict(NOT_UTF8, PYTHON_EXE_KEY="k"), rate_per_minute=100)
    code = "print(open('ä.txt').read())\nopen('€', 'w').write('1')"
    result = running.client.execute(code, attachments={"ä.txt": b"attached"}, return_files=["€", "ä.txt", "ö/ü"])
    assert (result.stdout, result.files) == ("attached\n", {"€": b"1", "ä.txt": b"attached"})
    # The control: by the encoding of file names there, such a name can't even be looked for.
    program = "import os; os.stat('\\u20ac')"
    done = subprocess.run(
        [sys.executable, "-c", program], env=dict(os.environ, **NOT_UTF8), capture_output=True, text=True
    )
    assert "UnicodeEncodeError" in done.stderr


# -- the look ---------------------------------------------------------------------------------------------------------


def _nest(path: str, depth: int) -> None:
    """Make a chain of directories, deeper than a path may be long."""
    here = os.open(path, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)


def test_a_look_counts_bytes_and_entries(directory, tmp_path) -> None:
    (tmp_path / "d" / "e").mkdir(parents=True)
    (tmp_path / "d" / "e" / "f").write_bytes(bytes(100000))
    os.symlink("/", tmp_path / "d" / "root")
    found = workdir.usage(directory, 100)
    assert found.files == 4 and 100000 <= found.size_bytes < 200000
    assert workdir.usage(directory, 4).files == 4 and workdir.usage(directory, 3).files > 3


def test_the_bytes_of_a_file_count_once_for_all_its_names(directory, tmp_path) -> None:
    """As in a tmpfs. Without one, a script that linked a large file some dozen times was over its limit of disk."""
    (tmp_path / "d").mkdir()
    for name in ("a", "d/b"):
        (tmp_path / name).write_bytes(bytes(100000))
        for n in range(20):
            os.link(tmp_path / name, tmp_path / (name + str(n)))
    found = workdir.usage(directory, 100)
    assert found.files == 43 and 200000 <= found.size_bytes < 300000


@pytest.mark.parametrize(("depth", "too_deep"), [(64, False), (65, True), (900, True)])
def test_a_tree_deeper_than_sixty_four_counts_as_too_many_files(directory, tmp_path, depth, too_deep) -> None:
    _nest(str(tmp_path), depth)
    before = os.listdir("/proc/self/fd")
    found = workdir.usage(directory, 1000)
    assert found.files == (1001 if too_deep else depth)
    assert os.listdir("/proc/self/fd") == before
    shutil.rmtree(tmp_path / "d")


def test_a_look_enters_each_directory_once(directory, tmp_path, monkeypatch) -> None:
    """One look took 2.7 s at a deep tree, since each directory was entered from the top."""
    _nest(str(tmp_path), 60)
    for n in range(100):
        (tmp_path / ("x%d" % n)).mkdir()
    opened: List[str] = []
    real = os.open

    def count(name: Any, flags: int, *rest: Any, **named: Any) -> int:
        opened.append(name)
        return real(name, flags, *rest, **named)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", count)
        assert workdir.usage(directory, 1000).files == 160
    assert len(opened) == 160


def test_a_look_has_a_deadline(directory, tmp_path, monkeypatch) -> None:
    for n in range(20):
        (tmp_path / str(n)).mkdir()
    clock = iter(range(1000))
    monkeypatch.setattr(time, "thread_time", lambda: 0.05 * next(clock))
    before = os.listdir("/proc/self/fd")
    assert workdir.usage(directory, 1000).files == 1001  # as if more than are allowed, not as if few
    assert next(clock) < 10 and os.listdir("/proc/self/fd") == before


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_a_shortage_in_the_server_is_not_blamed_on_a_runs_files(monkeypatch: pytest.MonkeyPatch, number) -> None:
    """A file isn't unreadable, nor a directory empty, because the server can't open it."""
    with tempfile.TemporaryDirectory() as path:
        fd = os.open(path, os.O_RDONLY)
        with open(path + "/a", "w") as file:
            file.write("x")
        with monkeypatch.context() as patch:
            patch.setattr(os, "dup", failing(OSError(number, os.strerror(number))))
            with pytest.raises(OSError, match=os.strerror(number)):
                list(workdir.collect(fd, ["a"], 10))
            with pytest.raises(OSError, match=os.strerror(number)):
                workdir.usage(fd, 10)
        assert list(workdir.collect(fd, ["a"], 10))[0].content == b"x" and workdir.usage(fd, 10).files == 1
        os.close(fd)
