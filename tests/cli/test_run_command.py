"""`pyexec run`: files in and out."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
from support import ROOT

from pyexec.cli.save import save


def _run(tmp_path: Any, code: str, *flags: str) -> subprocess.CompletedProcess[str]:
    script = tmp_path / "a.py"
    script.write_text(code)
    command = [sys.executable, "-m", "pyexec", "run", str(script), *flags]
    environment = {"PYTHONPATH": ROOT, "PATH": os.environ["PATH"]}
    return subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=tmp_path, stdin=subprocess.DEVNULL
    )


def test_files_go_in_and_come_out(tmp_path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("hello")
    (tmp_path / "b.bin").write_bytes(b"\xff")
    code = "text = open('a.txt').read() + str(open('b.bin', 'rb').read())\nopen('o.txt', 'w').write(text)\nopen('p.csv', 'w')"
    done = _run(tmp_path, code, "--attach", "in/a.txt", "--attach", "b.bin", "--return", "*.txt", "--out", "new/dir")
    assert done.returncode == 0, done.stderr
    assert os.listdir(tmp_path / "new" / "dir") == ["o.txt"]
    assert (tmp_path / "new" / "dir" / "o.txt").read_text() == "hellob'\\xff'"
    assert done.stderr == "pyexec: the script also wrote 'p.csv' (0 bytes); --return PATTERN --out DIR fetches them\n"


def test_out_alone_fetches_everything_also_after_a_failure(tmp_path) -> None:
    code = "open('a', 'w').write('1')\nimport os\nos.mkdir('d')\nopen('d/b', 'w').write('2')\nexit(3)"
    done = _run(tmp_path, code, "--admin", "--out", "o")
    assert (done.returncode, done.stderr) == (3, "")
    assert (tmp_path / "o" / "a").read_text() == "1" and (tmp_path / "o" / "d" / "b").read_text() == "2"
    done = _run(tmp_path, "open('c', 'w').write('3')\nwhile True: pass", "--out", "o", "--wall-s", "0.5")
    assert done.returncode == 1 and (tmp_path / "o" / "c").read_text() == "3"


@pytest.mark.parametrize(
    "code, flags, hint",
    [
        ("!pip install x", (), "pyexec: This is a plain Python script"),
        (
            "open('none.csv')",
            (),
            "pyexec: Nothing was attached: a file that the script is to read has to be sent in --attach.",
        ),
        ("while True: pass", ("--wall-s", "0.3"), "pyexec: Do less in one run"),
        ("import os", (), "--modules says which modules may be."),
    ],
)
def test_a_script_that_fails_in_a_known_way_gets_advice(tmp_path, code, flags, hint) -> None:
    done = _run(tmp_path, code, *flags)
    assert done.returncode == 1 and hint in done.stderr and "'allowed' lists" not in done.stderr


def test_a_script_that_prints_nothing_is_left_alone(tmp_path) -> None:
    assert _run(tmp_path, "x = 1").stderr == ""


def test_what_cannot_be_returned_is_said_and_is_a_failure(tmp_path) -> None:
    done = _run(tmp_path, "print(1)", "--return", "none.txt", "--out", "o")
    assert done.returncode == 1 and "'none.txt' was not returned: File not found after execution." in done.stderr


def test_what_a_script_wrote_is_named_without_being_asked_for(tmp_path) -> None:
    """What a terminal obeys is escaped."""
    done = _run(tmp_path, "for n in range(12): open('\\x1b]0;%02d\\x9b' % n, 'w')")
    assert done.returncode == 0 and "\x1b" not in done.stderr and "\x9b" not in done.stderr
    assert r"'\x1b]0;00\x9b' (0 bytes), " in done.stderr and "and 2 more; --return PATTERN --out DIR" in done.stderr


@pytest.mark.parametrize(
    "flags, status, says",
    [
        (["--return", "a"], 2, "--return needs --out DIR"),
        (["--attach", "/nonexistent"], 1, "No such file"),
        (["--attach", "a.py", "--attach", "a.py"], 1, "Two attachments are named 'a.py'"),
        (["--return", "../a", "--out", "o"], 1, "must not contain '..'"),
        (["--out", "a.py"], 1, "File exists"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, flags, status, says) -> None:
    done = _run(tmp_path, "open('x', 'w')", *flags)
    assert done.returncode == status and says in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("flags", [["doctor", "--attach", "x"], ["--return", "x"], ["doctor", "--url", "http://x"]])
def test_options_of_another_command_are_refused(flags) -> None:
    done = subprocess.run([sys.executable, "-m", "pyexec", *flags], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2 and "takes no --" in done.stderr


# -- names from hostile code ------------------------------------------------------------------------------------------


def test_a_file_is_replaced_and_no_link_followed(tmp_path) -> None:
    out, victim = tmp_path / "out", tmp_path / "victim"
    victim.write_text("precious")
    out.mkdir()
    os.symlink(victim, out / "link")
    os.link(victim, out / "hard")
    os.symlink(tmp_path, out / "dir")
    for name in ("link", "hard", "new", "new"):
        save(str(out), name, b"x")
        assert (out / name).read_bytes() == b"x" and not (out / name).is_symlink()
    assert victim.read_text() == "precious"
    with pytest.raises(OSError, match="can't write 'dir/victim' below"):
        save(str(out), "dir/victim", b"x")
    assert victim.read_text() == "precious"
    (tmp_path / "link").symlink_to(out)
    save(str(tmp_path / "link"), "a/b", b"y")  # the user's own link
    assert (out / "a" / "b").read_bytes() == b"y"


@pytest.mark.parametrize("name", ["../a", "/a", "a/../../b", "", ".", "a//b", "a\0"])
def test_a_path_that_leads_out_is_refused(tmp_path, name: str) -> None:
    before = os.listdir("/proc/self/fd")
    with pytest.raises(ValueError, match="is not a path below a directory"):
        save(str(tmp_path), name, b"x")
    assert os.listdir(tmp_path) == [] and os.listdir("/proc/self/fd") == before
