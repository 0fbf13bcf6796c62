"""A script whose time is nearly up, by real signals to a process of its own: what it flushes and tells."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import Any, Dict, Tuple

import pytest
from support import ROOT

from pyexec import findings, messages
from pyexec.job import SCRIPT_NAME

# Runs a script as a child does, and sends itself the signal when the script calls `due`.
_CHILD = """
import json, os, signal, sys
sys.path.insert(0, %r)
from pyexec import messages
from pyexec.child import last_moment, script, streams
from pyexec.child.witness import Witness

def tell(found):
    os.write(3, json.dumps(found).encode() + b"\\n")

witness = Witness(tell)
source = open(%r).read()
streams.open_all()
last_moment.install(streams.flush, witness)
witness.source, witness.pid = source, int(sys.argv[1]) or os.getpid()
witness.want(False, sys.argv[2] == "locals")
import builtins
builtins.due = lambda: os.kill(os.getpid(), messages.LATE_SIGNAL)
builtins.stuck = lambda: os.kill(os.getpid(), messages.STUCK_SIGNAL)
script.run(source, os.getcwd(), None, [], witness)
""" % (ROOT, SCRIPT_NAME)


def run(directory: Any, source: str, pid: int = 0, with_locals: str = "locals") -> Tuple[str, str, Any]:
    """Run a script; return what it wrote to stdout, to stderr, and what it told."""
    (directory / SCRIPT_NAME).write_text(source)
    command = [sys.executable, "-c", _CHILD, str(pid), with_locals]
    with open(str(directory / "told"), "w+b") as told:
        ended = subprocess.run(
            ["sh", "-c", 'exec "$@" 3>told', "sh", *command],
            cwd=str(directory),
            capture_output=True,
        )
        lines = [json.loads(line) for line in told.read().splitlines()]
    return ended.stdout.decode(), ended.stderr.decode(), lines


def test_it_flushes_and_tells_where_it_is(tmp_path: Any) -> None:
    source = (
        "import os\ndef step(n):\n    print(n, end='')\n    due()\n    os._exit(5)\nfor n in [1, 2]:\n    step(n)\n"
    )
    stdout, _, lines = run(tmp_path, source)
    assert stdout == "1"
    (told,) = lines
    found: Dict[str, Any] = findings.error(told["late"])
    assert (
        found["frames"]
        == [
            {"line": 4, "function": "step", "code": "due()", "locals": {"n": "1"}},
            {"line": 7, "function": "<module>", "code": "step(n)", "locals": {"n": "1"}},
        ]
        or found["line"] == 5
    )  # the handler runs between two instructions


def test_the_script_goes_on(tmp_path: Any) -> None:
    stdout, stderr, lines = run(tmp_path, "due()\nprint('on')\n")
    assert (stdout, stderr, len(lines)) == ("on\n", "", 1)


def test_values_are_left_out_if_nobody_wants_them(tmp_path: Any) -> None:
    _, _, (told,) = run(tmp_path, "x = 1\ndue()\n", with_locals="no")
    assert "locals" not in told["late"]["frames"][0]


def test_what_a_script_has_forked_tells_nothing(tmp_path: Any) -> None:
    assert run(tmp_path, "due()\nprint('on')\n", pid=1) == ("on\n", "", [])


def test_a_hostile_stream_can_not_keep_it_from_telling(tmp_path: Any) -> None:
    source = "import sys\nclass Odd:\n    def flush(self): raise KeyError\n    def write(self, text): pass\n"
    _, _, lines = run(tmp_path, source + "sys.stdout = Odd()\ndue()\n")
    assert [list(line) for line in lines] == [["late"]]


@pytest.mark.parametrize("depth", [0, 800])
def test_the_stack_is_written_to_standard_error(tmp_path: Any, depth: int) -> None:
    source = "def f(n):\n    if n:\n        return f(n - 1)\n    stuck()\nf(%d)\n" % depth
    _, stderr, lines = run(tmp_path, source)
    assert stderr.startswith("Stack (most recent call first):\n") and 'File "script.py", line 4 in f\n' in stderr
    assert lines == []


def test_a_script_finds_no_handler_and_may_set_its_own(tmp_path: Any) -> None:
    source = "import signal\nprint(signal.getsignal(%d))\nprint(signal.signal(%d, print) is signal.SIG_DFL)\ndue()\n"
    source += "import time\ntime.sleep(0)\nprint(signal.getsignal(%d) is print)\n"
    number = int(messages.LATE_SIGNAL)
    stdout, stderr, told = run(tmp_path, source % (number, number, number))
    assert (stderr, told) == ("", []) and stdout.startswith("%s\nTrue\n%d <frame" % (signal.SIG_DFL, number))
    assert stdout.endswith("\nTrue\n")


def test_programs_that_know_neither_signal_ignore_it() -> None:
    for number in (messages.LATE_SIGNAL, messages.STUCK_SIGNAL):
        assert subprocess.run(["sh", "-c", "kill -%d $$; echo on" % number], stdout=subprocess.PIPE).stdout == b"on\n"
