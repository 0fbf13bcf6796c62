"""Kills what the runs of a dead zygote left behind; runs in the process above it.

A zygote that exits by itself ends its runs completely, but a zygote that is killed can't. Its children have a
parent-death signal; what an admin run has forked has none and, where there is no pid namespace to die with, would keep
its uid and memory as long as it liked. Such orphans are reparented to the next subreaper: the nursery kills those that
it gets when a zygote dies, and reports the death only when nothing is left. Where there is no pid namespace, a process
above the nursery does the same for the nursery; it holds none of the server's descriptors except standard error, and is
forked before anything is loaded.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from typing import Collection, Iterator, NamedTuple

from pyexec import messages
from pyexec.kernel import libc, rlimits

_DYING_S, _POLL_S = 20.0, 0.005


class Running(NamedTuple):
    """A child as its zygote sees it, or a zygote as the nursery does."""

    pid: int
    pidfd: int
    status: int  # the socket on which its death is reported
    cpu_limit_s: int = 0


def fork_below(control: socket.socket, proc_fd: int) -> None:
    """Continue in a new process; the old one waits for it, then kills whatever is left of any run."""
    pid = os.fork()
    if pid == 0:
        libc.prctl(libc.PR_SET_CHILD_SUBREAPER, 1)
        return
    control.close()
    status, ended = 0, 0
    while ended != pid:
        ended, status = os.waitpid(-1, 0)
    deadline = time.monotonic() + _DYING_S
    while any_left(proc_fd, ()) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    os._exit(1 if os.WIFSIGNALED(status) else os.WEXITSTATUS(status))


def any_left(proc_fd: int, spared: Collection[int], reachable: bool = True) -> bool:
    """Kill and reap every child of this process that isn't spared, with its process group; return whether any is left.

    Args:
        spared: pids of zygotes. reachable: False in a pid namespace, where the pids in `/proc` aren't those that our
            system calls use, and where each run dies with its own namespace.
    """
    while True:
        with contextlib.suppress(ChildProcessError):
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is not None and ended.si_pid not in spared:
                os.waitpid(ended.si_pid, 0)
                continue
        break
    left = list(_children(proc_fd))
    if not reachable:
        return len(left) > len(spared)
    left = [(pid, group) for pid, group in left if pid not in spared]
    for pid, group in left:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
            if group != os.getpgrp():
                os.killpg(group, signal.SIGKILL)
    return bool(left)


def _children(proc_fd: int) -> Iterator[tuple[int, int]]:
    """Yield the pid and process group, as `/proc` numbers them, of our children and of orphans reparented to us."""
    own = int(os.readlink("self", dir_fd=proc_fd))
    for name in filter(str.isdigit, os.listdir(proc_fd)):
        with contextlib.suppress(OSError):  # it exited in the meantime
            fd = os.open(name + "/stat", os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc_fd)
            with os.fdopen(fd, "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
            if int(fields[1]) == own:
                yield int(name), int(fields[2])


class Groups:
    """Process groups of dead children, where there is no pid namespace: gone before the death is reported."""

    def __init__(self) -> None:
        """Start without any."""
        self._dying: list[tuple[Running, bytes]] = []

    def __bool__(self) -> bool:
        """Return whether any group is still dying."""
        return bool(self._dying)

    def note(self, running: Running, reaper: libc.Reaper) -> None:
        """Kill the rest of a dead child's process group while its pid is still reserved, then reap the child."""
        kill_group(running.pid, running.pidfd)
        self._dying.append((running, death(reaper, running.pid, running.cpu_limit_s)))

    def gone(self) -> list[tuple[Running, bytes]]:
        """Return the children whose groups are gone, with their reports; never wait for one that is slow to die."""
        done = [entry for entry in self._dying if _group_is_gone(entry[0].pid)]
        self._dying = [entry for entry in self._dying if entry not in done]
        return done


def exit_code(status: int) -> int:
    """Return the exit code for a wait status, negative for a signal."""
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def death(reaper: libc.Reaper, pid: int, cpu_limit_s: int) -> bytes:
    """Reap a child and return the encoded report of its death. Raises OSError."""
    status = reaper.reap(pid)
    return encoded(status, cpu_limit_s if rlimits.ended_by_cpu(status, reaper.cpu_s, cpu_limit_s) else 0)


def encoded(status: int, cpu_limit_s: int) -> bytes:
    """Return the encoded report of a death. `cpu_limit_s`: the CPU time limit if the process hit that, else 0."""
    return messages.encode_death(messages.Death(exit_code(status), cpu_limit_s))


def kill_group(pid: int, pidfd: int) -> None:
    """Kill a child and everything it has forked, none of which can leave its process group. Raises OSError."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    except PermissionError:
        libc.syscall("pidfd_send_signal", pidfd, signal.SIGKILL, None, 0)


def _group_is_gone(group: int) -> bool:
    """Reap the exited processes of a run's group and return whether none is left. All have been killed by now.

    As a subreaper, the zygote is their parent. Otherwise they would fall to process 1, which in a container may be the
    server itself and reaps nothing: dead processes would count against the next run with this uid.
    """
    while True:
        try:
            if os.waitid(os.P_PGID, group, os.WEXITED | os.WNOHANG) is None:
                return False
        except ChildProcessError:
            return True
