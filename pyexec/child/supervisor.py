"""The first process of an admin run: it waits for the script's process, and tells how that ended if it can't itself.

Process 1 of a pid namespace can't be ended by a signal that it sends to itself, and everywhere a script that kills
itself must not look as if the kernel's memory killer had done it: so an admin script runs in a second process. That one
is forked before there is a job and has the channel too: it takes the job, and says by itself that its script has ended,
which costs no third process a turn. What an admin script runs can forge that word, as public scripts can.
"""

from __future__ import annotations

import os
import select
from typing import NoReturn

from pyexec import messages
from pyexec.child import last_call
from pyexec.child.confine import CHANNEL_FD
from pyexec.kernel import rlimits


def fork_script(cpu_limit_s: int) -> None:
    """Return in a new process, the script's own; the old one stays behind as its supervisor.

    Args:
        cpu_limit_s: the processor time at which the kernel kills a process of this run.

    Raises:
        OSError: no process could be made.
    """
    pid = os.fork()
    if pid:
        last_call.forward(pid)
        messages.send_locked(CHANNEL_FD, messages.LAYERS)
        _supervise(pid, cpu_limit_s)


def _supervise(script_pid: int, cpu_limit_s: int) -> NoReturn:
    while True:
        ended, status, used = os.wait4(-1, 0)
        if ended == script_pid:
            break
    poll = select.poll()
    poll.register(CHANNEL_FD, select.POLLIN)
    # A job that lies there unread shows the server that no script had anything to do with this end. And if the server
    # has closed its end, nobody wants to know.
    if not poll.poll(0):
        code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        said = {"code": code}
        if rlimits.ended_by_cpu(status, used[0] + used[1], cpu_limit_s):
            said["cpu_limit_s"] = cpu_limit_s
        messages.send_locked(CHANNEL_FD, messages.EXIT, said)
        os.read(CHANNEL_FD, 1)
    os._exit(0)
