"""A child before its script: what it does when its zygote is gone or it lacks something."""

from __future__ import annotations

import errno
import os
import signal

import pytest
from processes import PLAIN, anyone_left, await_that, zygote
from sandboxes import able_host, failing
from servers import restarts

from pyexec import messages
from pyexec.child import main as child_module
from pyexec.config import Config
from pyexec.job import Plan


def test_a_child_without_its_socket_does_not_write_elsewhere() -> None:
    """Its descriptor 3 is still one of the zygote's: the control socket, or another child's status socket."""
    near, far = messages.pair()
    pid = os.fork()
    if pid == 0:
        os.dup2(far.fileno(), child_module.SOCKET_FD)
        os.dup = failing(OSError(errno.EMFILE, "Too many open files"))
        child_module.main(
            Plan(able_host(), False, 0, 0, "", (), (), 0, 0, 0, Config.of().budget), (0, 1, 2, 3), (), (), ()
        )
    far.close()
    assert os.WEXITSTATUS(os.waitpid(pid, 0)[1]) != 0
    assert near.recv(1000) == b""
    near.close()


def test_a_child_that_missed_the_end_of_its_zygote_is_no_failed_layer(running) -> None:
    """Without a pid namespace it only sees that its parent is another process; the next caller gets another child."""
    for number in range(5):
        await_that(lambda expected=number: restarts(running) == expected)
        assert running.client.execute("print(1)").stdout == "1\n"  # so that another child is just being made
        template = zygote(running.process.pid, PLAIN)
        os.kill(template, signal.SIGKILL)
        await_that(lambda pid=template: not anyone_left([pid]))
        assert running.client.execute("print(%d)" % number).stdout == "%d\n" % number


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_output_is_flushed_line_by_line(server, stream: str) -> None:
    """So that what a script had printed is there however it ends, unlike `python script.py` into a pipe."""
    code = "import sys\nprint('a line', file=sys.%s)\nprint('half', end='', file=sys.%s)\n" % (stream, stream)
    code += "import random\nrandom._os._exit(3)"
    result = server.client.execute(code)
    assert (result.exit_code, getattr(result, stream)) == (3, "a line\n"), result
