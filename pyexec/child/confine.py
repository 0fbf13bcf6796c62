"""From the fork to the last layer: one straight line of calls that the zygote has prepared.

Whatever can be found out, opened, encoded or allocated before the fork is: `prepare` runs in the zygote, once per slot.
What is left for the child, `take_descriptors` and `libc.carry_out`, makes no decisions and only checks each result; any
failure ends the child. That also saves time: the layers take the kernel a few hundred microseconds, but each line of
Python that runs for the first time after a fork copies pages of the zygote.

    descriptor   in a child
    0, 1, 2      in-memory files made by the server: stdin (filled before the job arrives), stdout, stderr
    3            the channel to the server
    4, 5         the run's directory, and a pidfd of the child itself, for the hello; closed before the filter is on
"""

from __future__ import annotations

import os
from typing import Any, Callable

from pyexec import messages
from pyexec.job import Plan
from pyexec.kernel import layers, libc, rlimits, tree

CHANNEL_FD, DIRECTORY_FD, PIDFD_FD = 3, 4, 5
# A zygote occupies these numbers, so no descriptor of an order can have a number that the child assigns.
RESERVED = 16
_ALL = 0xFFFFFFFF


def prepare(confinement: layers.Confinement, plan: Plan, hello: bool = True) -> tuple[libc.Call, ...]:
    """Return the calls that confine a child and bring it into its directory, with its hello to the server."""
    calls = [libc.Call("session", os.setsid, (), None)]
    if plan.host.uid == 0:
        calls.append(libc.Call("session", rlimits.yield_as_a_session, (plan.proc_fd,), None))
    calls += confinement.opening(plan)
    calls += _enter(plan)
    if hello:
        calls += _say_hello(plan)
    calls += confinement.closing(plan, DIRECTORY_FD, _close_others() if hello else ())
    return tuple(calls)


def _enter(plan: Plan) -> list[libc.Call]:
    """Return the calls that bring a child into its directory, which the server has created if it is on disk."""
    if not plan.mount_point:
        where = (os.path.basename(plan.workdir),)
        return [libc.Call("workdir", os.fchdir, (DIRECTORY_FD,), None), libc.Call("workdir", os.chdir, where, None)]
    calls = [libc.Call("workdir", os.chdir, (plan.mount_point,), None)]
    calls += [libc.Call("workdir", os.mkdir, (name, 0o700), None) for name in tree.DIRECTORIES]
    calls.append(libc.Call("workdir", os.chdir, (os.path.basename(plan.workdir),), None))
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    return [*calls, libc.Call("workdir", _put_at, (DIRECTORY_FD, os.open, ".", flags), None)]


def _say_hello(plan: Plan) -> list[libc.Call]:
    """Return the calls that send the server the child's pidfd and, if it is a tmpfs, its directory.

    Through the latter the server reads the run's output files. Neither can be sent once seccomp is on.
    """
    calls = [libc.Call("hello", _put_at, (PIDFD_FD, _own_pidfd), None)]
    descriptors = (PIDFD_FD, DIRECTORY_FD) if plan.mount_point else (PIDFD_FD,)
    return [*calls, libc.sendmsg_call("hello", CHANNEL_FD, messages.encode(messages.HELLO), descriptors)]


def _put_at(number: int, make: Callable[..., int], *arguments: Any) -> None:
    os.dup2(make(*arguments), number, False)


def _own_pidfd() -> int:
    return libc.syscall("pidfd_open", os.getpid(), 0)


def _close_others() -> list[libc.Call]:
    """Return the call that closes every descriptor above the channel."""
    try:
        libc.syscall("close_range", _ALL, _ALL, 0)
    except OSError:  # an old container profile may not allow it
        return [libc.Call("descriptors", os.closerange, (DIRECTORY_FD, os.sysconf("SC_OPEN_MAX")), None)]
    return [libc.system_call("descriptors", "close_range", DIRECTORY_FD, _ALL, 0)]


def take_descriptors(channel: int, stdin: int, stdout: int, stderr: int, directory: int = -1) -> None:
    """Move an order's descriptors to the numbers above. Raises OSError; CHANNEL_FD may then be anything."""
    if min(channel, stdin, stdout, stderr) < RESERVED:
        raise OSError("a descriptor of an order has a number that the zygote should have kept occupied")
    os.dup2(stdin, 0)
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    if directory >= 0:
        os.dup2(directory, DIRECTORY_FD, False)
    os.dup2(channel, CHANNEL_FD, False)
