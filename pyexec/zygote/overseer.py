"""The parent of the zygotes where there is no pid namespace: waits for them, then kills whatever they left behind.

Holds none of the server's descriptors except standard error. Forked before anything is loaded.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from typing import Iterator, Sequence

from pyexec.kernel import libc

_DYING_S, _POLL_S = 20.0, 0.005


def fork_below(controls: Sequence[socket.socket], proc_fd: int) -> None:
    """Continue in a new process; the old one waits for it and then kills whatever its runs left behind.

    A zygote that exits normally ends its runs completely. One that is killed can't: processes forked by an admin run
    have no parent-death signal. They are reparented to this process, and would otherwise keep their uid and memory for
    as long as they liked.
    """
    pid = os.fork()
    if pid == 0:
        libc.prctl(libc.PR_SET_CHILD_SUBREAPER, 1)
        return
    for control in controls:
        control.close()
    status, ended = 0, 0
    while ended != pid:
        ended, status = os.waitpid(-1, 0)
    deadline = time.monotonic() + _DYING_S
    with contextlib.suppress(ChildProcessError):  # no children left
        while time.monotonic() < deadline:
            for orphan, group in _children(proc_fd):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(orphan, signal.SIGKILL)
                    if group != os.getpgrp():
                        os.killpg(group, signal.SIGKILL)
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
            time.sleep(_POLL_S)
    os._exit(1 if os.WIFSIGNALED(status) else os.WEXITSTATUS(status))


def _children(proc_fd: int) -> Iterator[tuple[int, int]]:
    """Yield the pid and process group of each child of this process, including adopted orphans."""
    for name in filter(str.isdigit, os.listdir(proc_fd)):
        with contextlib.suppress(OSError):  # it exited in the meantime
            fd = os.open(name + "/stat", os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc_fd)
            with os.fdopen(fd, "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
            if int(fields[1]) == os.getpid():
                yield int(name), int(fields[2])
