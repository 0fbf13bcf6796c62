"""What a script had printed when its time was up comes back, also what stood in buffers."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Callable, Iterator

import pytest
from servers import RunningServer
from support import ROOT
from wrappers import EITHER_HOST

from pyexec import messages
from pyexec.client import Client, ServiceError

PROGRAM = """
import os, signal, sys, time
from pyexec import messages
from pyexec.child import last_call, script
script.open_streams()
last_call.install()
def nearly_up():
    os.kill(os.getpid(), messages.LAST_CALL)
%s
os.kill(os.getpid(), signal.SIGKILL)
"""
FLUSHED = {
    "a dot": ("print('.', end='')\nnearly_up()", "."),
    "half a line after a whole one": ("print('a')\nprint('b', end='')\nnearly_up()", "a\nb"),
    "stderr": ("sys.stderr.write('.')\nos.dup2(1, 2)\nnearly_up()", "."),
    "a stream that is redirected": (
        "import contextlib, io\nprint('.', end='')\nwith contextlib.redirect_stdout(io.StringIO()):\n    nearly_up()",
        ".",
    ),
    "a stream that raises": (
        "print('.', end='')\nclass Bad:\n    def flush(self):\n        raise SystemExit\nsys.stdout = Bad()\nnearly_up()",
        ".",
    ),
    "no stream": ("print('.', end='')\nsys.stdout = sys.stderr = None\nnearly_up()", "."),
    "a closed one": ("sys.stdout.close()\nnearly_up()\nos.write(1, b'x')", "x"),
    "and the script goes on": ("print('.', end='')\nnearly_up()\nprint('more')", ".more\n"),
    "no signal": ("print('.', end='')", ""),
}


@pytest.mark.parametrize("name", FLUSHED)
def test_the_signal_flushes(name: str) -> None:
    program, output = FLUSHED[name]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM % program], stdout=subprocess.PIPE, env=dict(os.environ, PYTHONPATH=ROOT)
    )
    assert (done.stdout.decode(), done.returncode) == (output, -9)


def test_a_process_that_does_not_handle_the_signal_goes_on() -> None:
    program = "import os\nos.kill(os.getpid(), %d)\nprint('on')" % messages.LAST_CALL
    assert subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE).stdout == b"on\n"


DOTS = "import time, sys\nsys.stderr.write('x')\nfor step in range(60):\n    print('.', end='')\n    time.sleep(0.4)"
WAITING = {
    "sleeping": DOTS,
    "computing": "print('..', end='')\nwhile True:\n    pass",
    "reading": "print('..', end='')\nimport queue\nqueue.Queue().get()",
    "in a loop that catches everything": (
        "print('..', end='')\nimport time\nwhile True:\n    try:\n        time.sleep(1)\n    except BaseException:\n        pass"
    ),
}


@pytest.fixture(scope="module")
def short() -> Iterator[RunningServer]:
    running = RunningServer({"rate_per_minute": 1000, "rate_per_day": 1000, "wall_s": 2})
    yield running
    assert running.stop() == 0, running.log


def printed(client: Client, code: str) -> str:
    """Return what a script printed that ran into its time; a busy machine may need more than one try."""
    for _ in range(5):
        with pytest.raises(ServiceError) as caught:
            client.execute(code)
        assert caught.value.type == "TimeoutError"
        stdout: str = caught.value.document["execution_details"]["stdout"]
        if stdout:
            break
    return stdout


@pytest.mark.parametrize("who", ["client", "admin"])
@pytest.mark.parametrize("name", WAITING)
def test_what_was_printed_before_the_time_was_up_comes_back(short: RunningServer, name: str, who: str) -> None:
    assert printed(getattr(short, who), WAITING[name]).startswith("..")


def test_a_program_that_a_script_has_become_runs_into_its_time(short: RunningServer) -> None:
    with pytest.raises(ServiceError) as caught:
        short.admin.execute("import os\nos.execvp('sleep', ['sleep', '9'])")
    assert caught.value.type == "TimeoutError"


def test_where_nothing_can_be_mounted_it_is_the_same(start_server: Callable[..., RunningServer]) -> None:
    for wrapper in EITHER_HOST.values():
        running = start_server(wrapper, wall_s=2, max_runs=1)
        assert printed(running.client, DOTS).startswith("..")
