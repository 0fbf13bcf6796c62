"""The supervisor, the first process of an admin run: it waits for the script's process and reports its death.

Process 1 of a pid namespace can't kill itself with a signal, and a script that kills itself must not look like a victim
of the OOM killer: so an admin script runs in a second process. That one is forked before there is a job and shares the
channel: it takes the job and reports the end of its script itself, which saves a change of processes. What an admin
script runs can forge that report, as public scripts can.
"""

from __future__ import annotations

import os
import select
from typing import NoReturn

from pyexec import messages
from pyexec.child.confine import CHANNEL_FD
from pyexec.kernel import rlimits


def fork_script(cpu_limit_s: int) -> None:
    """Return in a new process, which is to run the script; the old one remains as its supervisor.

    Args:
        cpu_limit_s: the CPU time limit of each process of the run.

    Raises:
        OSError: no process could be forked.
    """
    pid = os.fork()
    if pid:
        messages.send_locked(CHANNEL_FD, messages.LAYERS)
        _supervise(pid, cpu_limit_s)


def _supervise(script_pid: int, cpu_limit_s: int) -> NoReturn:
    while True:
        ended, status, used = os.wait4(-1, 0)
        if ended == script_pid:
            break
    poll = select.poll()
    poll.register(CHANNEL_FD, select.POLLIN)
    # If the job is still unread, exiting tells the server that no script had anything to do with this. And if the
    # server has closed its end, it needs no report.
    if not poll.poll(0):
        code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        said = {"code": code}
        if rlimits.ended_by_cpu(status, used[0] + used[1], cpu_limit_s):
            said["cpu_limit_s"] = cpu_limit_s
        messages.send_locked(CHANNEL_FD, messages.EXIT, said)
        os.read(CHANNEL_FD, 1)
    os._exit(0)
