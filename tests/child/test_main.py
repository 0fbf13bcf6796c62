"""A child before its script: what it does when its zygote is gone or it lacks something."""

from __future__ import annotations

import errno
import os
import signal

import pytest
from processes import PLAIN, anyone_left, await_that, zygote
from sandboxes import failing
from servers import restarts

from pyexec import messages
from pyexec.child import confine
from pyexec.child import main as child_module


def test_a_child_without_its_channel_does_not_write_elsewhere() -> None:
    """Its descriptor 3 is still one of the zygote's: the control socket, or another child's status socket."""
    near, far = messages.pair()
    pid = os.fork()
    if pid == 0:
        os.dup2(far.fileno(), confine.CHANNEL_FD)
        os.dup2 = failing(OSError(errno.EMFILE, "Too many open files"))
        child_module.main((), (20, 21, 22, 23), messages.Order(0, False), None, 1)  # type: ignore[arg-type]
    far.close()
    assert os.WEXITSTATUS(os.waitpid(pid, 0)[1]) != 0
    assert near.recv(1000) == b""
    near.close()


def test_a_child_that_missed_the_end_of_its_zygote_is_no_failed_layer(running) -> None:
    """Without a pid namespace it only sees that its parent is another process; the next caller gets another child."""
    for number in range(5):
        await_that(lambda expected=number: restarts(running) == expected)
        assert running.client.execute("print(1)").stdout == "1\n"  # so that another child is just being made
        forking = zygote(running.process.pid, PLAIN)
        os.kill(forking, signal.SIGKILL)
        await_that(lambda pid=forking: not anyone_left([pid]))
        assert running.client.execute("print(%d)" % number).stdout == "%d\n" % number


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_output_is_flushed_line_by_line(server, stream: str) -> None:
    """So that what a script had printed is there however it ends, unlike `python script.py` into a pipe."""
    code = "import sys\nprint('a line', file=sys.%s)\nprint('half', end='', file=sys.%s)\n" % (stream, stream)
    code += "import random\nrandom._os._exit(3)"
    result = server.client.execute(code)
    assert (result.exit_code, getattr(result, stream)) == (3, "a line\n"), result
