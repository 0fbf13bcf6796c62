"""Modes and times where nothing sets them: in a process of its own, behind the filter of such a host."""

from __future__ import annotations

import subprocess
import sys

import pytest
from support import ROOT

_BEFORE = """
import os, pathlib, shutil, sys
sys.path.insert(0, %r)
from pyexec.child import metadata
from pyexec.kernel import bpf, libc, policy, seccomp
if %r:
    metadata.install()
libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
seccomp.load(bpf.encode(seccomp.program(False, policy.EVERYTHING_CONTAINED._replace(metadata=False))))
Path = pathlib.Path
Path("a").write_text("a")
if not os.path.islink("link"):
    os.symlink("nowhere", "link")
"""


def _said(code: str, directory: str, installed: bool = True) -> str:
    command = [sys.executable, "-c", _BEFORE % (ROOT, installed) + code]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("installed", [True, False])
def test_a_touched_file_is_there(tmp_path, installed) -> None:
    assert _said("Path('new').touch()\nprint(Path('new').exists())", str(tmp_path), installed) == f"{installed}\n"


@pytest.mark.parametrize(
    "step",
    [
        "os.chmod('a', 0o600)",
        "os.chmod(os.open('a', os.O_RDONLY), 0o600)",
        "Path('a').chmod(0o600)",
        "os.utime('a')",
        "os.utime('a', (1, 1))",
        "os.utime('a', ns=(1, 1))",
        "os.utime('a', dir_fd=os.open('.', os.O_RDONLY))",
        "os.utime('link', follow_symlinks=False)",
        "Path('a').touch()",
        "shutil.copystat('link', 'link', follow_symlinks=False)",
        "shutil.copy2('a', 'b')",
    ],
)
def test_what_is_there_is_left_as_it_is(tmp_path, step) -> None:
    assert _said(f"before = os.stat('a')\n{step}\nprint(os.stat('a') == before)", str(tmp_path)) == "True\n"


@pytest.mark.parametrize(
    "step,error",
    [
        ("os.chmod('x', 0o600)", "FileNotFoundError"),
        ("os.chmod('link', 0o600)", "FileNotFoundError"),
        ("os.utime('x')", "FileNotFoundError"),
        ("os.utime('a/x')", "NotADirectoryError"),
        ("os.utime(b'x', dir_fd=os.open('.', os.O_RDONLY))", "FileNotFoundError"),
        ("Path('x').chmod(0o600)", "FileNotFoundError"),
        ("Path('a/x').touch()", "NotADirectoryError"),
        ("os.chmod('a')", "TypeError"),
        ("os.utime('a', 1)", "TypeError"),
        ("os.chmod('a\\0', 0o600)", "ValueError"),
    ],
)
def test_what_is_not_there_is_an_error_as_ever(tmp_path, step, error) -> None:
    code = f"try:\n    {step}\nexcept Exception as error:\n    print(type(error).__name__)"
    assert _said(code, str(tmp_path)) == error + "\n"


def test_programs_can_ask_what_they_do(tmp_path) -> None:
    plain = "print([each in named for each in (os.chmod, os.utime) for named in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks)])"
    assert _said(plain, str(tmp_path)) == _said(plain, str(tmp_path), False)
