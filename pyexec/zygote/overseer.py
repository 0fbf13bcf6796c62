"""The process above the templates where there is no pid namespace: it waits, and kills what they leave when they end.

Holds no descriptor of the server's but standard error; forked before anything is loaded.
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
    """Go on in a new process; the old one only waits, and then kills whatever of any run the templates have left.

    A template that ends by itself ends its runs whole, but not one that is killed: what an admin run has forked has no
    parent-death signal. It comes to us then, and would hold its uid and its memory for as long as it liked.
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
    with contextlib.suppress(ChildProcessError):  # nobody is left
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
    """Yield the pid and the process group of each of our children, also of those that came to us as orphans."""
    for name in filter(str.isdigit, os.listdir(proc_fd)):
        with contextlib.suppress(OSError):  # it has been reaped between two looks
            fd = os.open(name + "/stat", os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc_fd)
            with os.fdopen(fd, "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
            if int(fields[1]) == os.getpid():
                yield int(name), int(fields[2])
