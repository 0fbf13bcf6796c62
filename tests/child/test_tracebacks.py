"""What stderr has: the traceback that ends a script with libraries' files from their package on, all else untouched."""

from __future__ import annotations

import argparse
import os
import sys

import numpy
import pytest
from sandboxes import boot_with, own_config
from servers import RunningServer

from pyexec.cli import doctor
from pyexec.job import Job
from pyexec.sandbox import Sandbox

LIBRARY = os.path.dirname(os.path.dirname(numpy.__file__)) + "/"


def test_the_last_traceback_names_files_of_libraries_from_their_package_on(server: RunningServer) -> None:
    code = (
        "import json, numpy\ntry:\n    json.loads('{')\nexcept ValueError:\n    numpy.linalg.inv(numpy.zeros((2, 2)))"
    )
    for client in (server.client, server.admin):
        stderr = client.execute(code).stderr
        assert stderr.startswith('Traceback (most recent call last):\n  File "script.py", line 3, in <module>\n')
        assert '  File "json/__init__.py", line' in stderr and '  File "numpy/linalg/' in stderr
        assert LIBRARY not in stderr and "pyexec" not in stderr


def test_what_a_script_writes_to_stderr_is_never_edited(server: RunningServer) -> None:
    code = """
import json, sys, traceback, numpy
line = '  File "%s", line 1, in f\\n' % numpy.__file__
sys.stderr.write(line)
try:
    json.loads('{')
except ValueError:
    traceback.print_exc()
print(json.__file__)
1 / 0
"""
    result = server.client.execute(code)
    stdlib = result.stdout.rstrip("\n")
    assert result.stderr.startswith('  File "%s", line 1, in f\n' % numpy.__file__)
    assert '  File "%s", line ' % stdlib in result.stderr
    assert result.stderr.endswith("ZeroDivisionError: division by zero\n")


def test_a_hook_of_the_scripts_own_is_left_to_itself(server: RunningServer) -> None:
    code = "import json, sys\nsys.excepthook = lambda *about: sys.__excepthook__(*about)\njson.loads('{')"
    assert '/json/__init__.py", line' in server.client.execute(code).stderr


def test_a_text_that_looks_like_a_file_of_a_library_stays(server: RunningServer) -> None:
    code = "import json, numpy\nprint(json.__file__)\nraise ValueError('File \"%s\", line 1' % numpy.__file__)"
    result = server.client.execute(code)
    assert result.stderr.endswith('ValueError: File "%s", line 1\n' % numpy.__file__)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exception groups came with Python 3.11")
def test_groups_name_files_of_libraries_from_their_package_on(server: RunningServer) -> None:
    code = """
import json
try:
    json.loads('{')
except ValueError as error:
    raise ExceptionGroup('several', [error])
"""
    stderr = server.client.execute(code).stderr
    assert "| Traceback" in stderr and '  File "json/__init__.py", line' in stderr.replace("|", "")
    assert os.path.dirname(os.__file__) not in stderr


@pytest.mark.parametrize("stream", ["None", "open('log.txt', 'w')", "io.StringIO()"])
def test_a_script_may_have_replaced_the_stream(server: RunningServer, stream: str) -> None:
    result = server.client.execute("import io, json, sys\nsys.stderr = %s\njson.loads('{')" % stream)
    assert (result.exit_code, result.stderr) == (1, "")


def test_the_stack_has_no_frames_of_ours_wherever_it_is_looked_at(server: RunningServer) -> None:
    code = """
import faulthandler, inspect, sys, traceback
def look():
    frame = sys._getframe()
    while frame is not None:
        print(frame.f_code.co_filename)
        frame = frame.f_back
    print([entry.filename for entry in inspect.stack()], [entry.filename for entry in traceback.extract_stack()])
    faulthandler.dump_traceback(sys.stdout)
look()
"""
    result = server.admin.execute(code)
    assert result.stderr == "" and result.stdout.count("script.py") >= 8
    assert "pyexec" not in result.stdout


STACKS = """
import inspect, traceback
class Last:
    def __del__(self, inspect=inspect, print=print):
        print(inspect.stack()[0].function)
last = Last()
traceback.print_stack()
print(len(inspect.stack()) > 1)
1 / 0
"""


def test_where_the_bottom_of_the_stack_is_not_found_that_is_said(monkeypatch, capsys) -> None:
    """As on a debug build, or on a version of Python that nobody knows yet."""
    nowhere = "from pyexec.child import bottom as b; b._address, b._indirect, b.FOUND = 0, False, False; "
    boot_with(monkeypatch, nowhere + "b._field = b.ctypes.c_size_t(); ")
    with Sandbox(own_config()) as sandbox:
        outcome = sandbox.run(Job(STACKS))
        assert outcome.stdout.splitlines()[-1] == b"__del__", outcome
        assert b"pyexec" not in outcome.stderr and b"KeyError" not in outcome.stderr
        assert outcome.stdout.splitlines()[0] == b"True"  # the control: frames of ours are there
    assert doctor.main(own_config(), argparse.Namespace()) == 0
    assert "Stacks show pyexec's frames below the script's on this build of Python" in capsys.readouterr().out
