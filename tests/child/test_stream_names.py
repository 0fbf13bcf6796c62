"""The streams by name: in a process of its own, since `open` is replaced."""

from __future__ import annotations

import subprocess
import sys

import pytest
from servers import RunningServer
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


@pytest.mark.parametrize("name", ["'/dev/stdin'", "pathlib.Path('/dev/stdin')", "'/dev/fd/0'"])
def test_the_names_exist(name: str) -> None:
    code = "import os, stat\nfor find in (os.path.exists, lambda path: pathlib.Path(path).exists(), os.path.isfile):\n"
    assert _said(code + f"    print(find({name}))\nprint(stat.S_ISFIFO(os.stat({name}).st_mode))", "a") == (
        "True\nTrue\nFalse\nTrue\n"
    )
    code = "import os\nprint(os.path.exists('/dev/stdio'), os.path.exists(b'/'), os.path.exists(0), os.stat in os.supports_fd)"
    code += "\ntry:\n    os.stat('/dev/fd/0', follow_symlinks=False, dir_fd=None)\nexcept OSError:\n    pass\nprint(os.stat.__name__)"
    assert _said(code) == "False True True True\nstat\n"


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


USES = {
    "the script": ("{0}", {}),
    "an attached module": ("import h", {"h.py": b"{0}"}),
    "a module beside another": ("import h", {"g.py": b"{0}", "h.py": b"import g"}),
}


@pytest.mark.parametrize("where", USES)
def test_whatever_module_has_the_name_reads_the_stream(server: RunningServer, where: str) -> None:
    reads = "import numpy\nprint(numpy.loadtxt('/dev/stdin').sum() + len(open('/dev/stdin').read()))"
    code, modules = USES[where]
    attachments = {name: text.replace(b"{0}", reads.encode()) for name, text in modules.items()}
    for client in (server.client, server.admin):
        result = client.execute(code.replace("{0}", reads), stdin="1 2\n3 4\n", attachments=attachments)
        assert (result.stdout, result.stderr) == ("10.0\n", "")


def test_only_scripts_that_name_one_pay_for_it() -> None:
    assert stream_names.needed_by("open('/dev/stdin')") and not stream_names.needed_by("open('a')")
