"""`os` and `tempfile` where nothing may be deleted: in a process of its own, behind the filter of such a host."""

from __future__ import annotations

import subprocess
import sys

import pytest
from support import ROOT

_BEFORE = """
import os, pathlib, shutil, sys, tempfile
sys.path.insert(0, %r)
from pyexec.child import on_disk
from pyexec.kernel import bpf, libc, policy, seccomp
on_disk.install()
libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
held = policy.EVERYTHING_CONTAINED._replace(files=False, deletion=False, metadata=False)
seccomp.load(bpf.encode(seccomp.program(False, held)))
Path = pathlib.Path
for name in ("a", "b"):
    Path(name).write_text(name)
os.mkdir("d")
"""


def _said(code: str, directory: str) -> str:
    command = [sys.executable, "-c", _BEFORE % ROOT + code]
    environment = {"TMPDIR": directory + "/d"}
    done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("way", ["os.rename('a', 'c')", "os.replace('a', 'c')", "Path('a').rename('c')"])
def test_a_file_gets_a_name_that_is_free(tmp_path, way) -> None:
    assert _said(way + "\nprint(sorted(os.listdir('.')), open('c').read())", str(tmp_path)) == "['b', 'c', 'd'] a\n"


def test_directories_are_named_by_descriptor_too(tmp_path) -> None:
    code = "fd = os.open('d', os.O_RDONLY)\nos.rename('a', 'x', dst_dir_fd=fd)\nprint(os.listdir('d'), os.rename in os.supports_dir_fd)"
    assert _said(code, str(tmp_path)) == "['x'] True\n"


@pytest.mark.parametrize(
    "step,error",
    [
        ("os.rename('a', 'b')", "PermissionError 1 a b"),
        ("Path('a').replace('b')", "PermissionError 1 a b"),
        ("os.rename('x', 'y')", "FileNotFoundError 2 x y"),
        ("os.unlink('a')", "PermissionError 1 a None"),
        ("os.remove('a')", "PermissionError 1 a None"),
        ("os.rmdir('d')", "PermissionError 1 d None"),
        ("os.unlink('x')", "FileNotFoundError 2 x None"),
        ("Path('a').unlink()", "PermissionError 1 a None"),
        ("os.link('a', 'x')", "PermissionError 1 a x"),
        ("os.link('x', 'y')", "FileNotFoundError 2 x None"),
        ("os.rename('a\\0', 'b')", "ValueError"),
        ("os.rename(1, 'b')", "TypeError"),
    ],
)
def test_what_is_refused_says_so(tmp_path, step, error) -> None:
    code = f"""
try:
    {step}
except OSError as error:
    assert error.errno == 2 or "--work-dir" in str(error)
    print(type(error).__name__, error.errno, error.filename, error.filename2)
except Exception as error:
    print(type(error).__name__)
"""
    assert _said(code, str(tmp_path)) == error + "\n"


def test_a_temporary_file_that_is_deleted_by_its_name_is_out_of_sight(tmp_path) -> None:
    """As libraries do it that make files for their own use, such as openpyxl."""
    code = """
for place, remove in enumerate([os.remove, os.unlink, lambda path: Path(path).unlink()]):
    Path("d/.deleted-%d" % place).write_text("in the way")
    number, path = tempfile.mkstemp()
    os.close(number)
    remove(path)
    assert not os.path.exists(path)
    try:
        remove(path)
    except FileNotFoundError:
        print("gone")
try:
    os.mkdir("d/x")
    os.remove("d/x")
except PermissionError:
    print("no file")
"""
    assert _said(code, str(tmp_path)) == "gone\n" * 3 + "no file\n"


def test_temporary_files_are_left_for_the_end_of_the_run(tmp_path) -> None:
    code = """
with tempfile.NamedTemporaryFile() as named, tempfile.TemporaryFile() as unnamed:
    named.write(b"x"); unnamed.write(b"x")
with tempfile.TemporaryDirectory() as directory:
    Path(directory, "x").write_text("x"); Path(directory, "d").mkdir()
try:
    tempfile.NamedTemporaryFile("w", dir="nowhere")
except FileNotFoundError:
    print("as ever")
"""
    assert _said(code, str(tmp_path)) == "as ever\n"
