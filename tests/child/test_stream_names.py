"""The streams by name: in a process of its own, since `open` is replaced."""

from __future__ import annotations

import subprocess
import sys

import pytest
from support import ROOT

from pyexec.child import stream_names

_BEFORE = (
    "import io, pathlib, sys\nsys.path.insert(0, %r)\nfrom pyexec.child import stream_names\nstream_names.install()\n"
)


def _said(code: str, stdin: str = "") -> str:
    command = [sys.executable, "-c", _BEFORE % ROOT + code]
    done = subprocess.run(command, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.parametrize("name", ["'/dev/stdin'", "pathlib.Path('/dev/stdin')", "'/dev/fd/0'"])
@pytest.mark.parametrize("call", ["open(%s)", "io.open(%s, 'r')", "pathlib.Path(%s).open()"])
def test_input_is_read_by_name(name: str, call: str) -> None:
    assert _said(f"print({call % name}.read(), end='')", "a\nb\n") == "a\nb\n"


def test_output_goes_on_where_it_was() -> None:
    code = "print('a', flush=True)\nopen('/dev/stdout', 'w').write('b\\n')\nprint('c', flush=True)\n"
    code += "with open('/dev/stderr', mode='a') as file:\n    print('d', file=file)"
    assert _said(code) == "a\nb\nc\nd\n"


def test_everything_else_is_opened_as_ever(tmp_path) -> None:
    path = tmp_path / "a.txt"
    code = f"open({str(path)!r}, 'w').write('x')\nprint(open({str(path)!r}, 'rb').read(), open(1, closefd=False).fileno())\n"
    code += "try:\n    open('/dev/stdio')\nexcept OSError as error:\n    print(error.errno)\n"
    code += "try:\n    open('/dev/stdin', 'nonsense')\nexcept ValueError:\n    print('refused')"
    assert _said(code) == "b'x' 1\n2\nrefused\n"


def test_only_scripts_that_name_one_pay_for_it() -> None:
    assert stream_names.needed_by("open('/dev/stdin')") and not stream_names.needed_by("open('a')")
