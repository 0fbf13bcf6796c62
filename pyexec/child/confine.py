"""From the fork to the last layer: one straight line of calls that the zygote made ready.

All that can be found out, opened, encoded or allocated before the fork is: `prepare` works in the zygote, once for each
slot. What is left for the child, `take_descriptors` and `libc.carry_out`, has no decision in it but the check of each
result; whatever fails ends the child. In Python this order matters for time as well: the layers themselves take the
kernel a few hundred microseconds, and each line that runs for the first time after a fork copies pages of its zygote.

    descriptor   in a child
    0, 1, 2      in-memory files made by the server: stdin (filled before the job comes), stdout, stderr
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
# A zygote keeps these numbers taken, so that no descriptor that comes with an order can lie where a child's own goes.
RESERVED = 16
_ALL = 0xFFFFFFFF


def prepare(confinement: layers.Confinement, plan: Plan, hello: bool = True) -> tuple[libc.Call, ...]:
    """Return everything that confines one child and brings it into its directory, and its hello to the server."""
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
    """Return what brings a child into its directory, which the server has made if it lies on disk."""
    if not plan.mount_point:
        where = (os.path.basename(plan.workdir),)
        return [libc.Call("workdir", os.fchdir, (DIRECTORY_FD,), None), libc.Call("workdir", os.chdir, where, None)]
    calls = [libc.Call("workdir", os.chdir, (plan.mount_point,), None)]
    calls += [libc.Call("workdir", os.mkdir, (name, 0o700), None) for name in tree.DIRECTORIES]
    calls.append(libc.Call("workdir", os.chdir, (os.path.basename(plan.workdir),), None))
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    return [*calls, libc.Call("workdir", _put_at, (DIRECTORY_FD, os.open, ".", flags), None)]


def _say_hello(plan: Plan) -> list[libc.Call]:
    """Return what sends the server a pidfd of the child and, if only the child can open it, its directory.

    The server reads through it what the run leaves behind; neither can be sent once the filter is on.
    """
    calls = [libc.Call("hello", _put_at, (PIDFD_FD, _own_pidfd), None)]
    descriptors = (PIDFD_FD, DIRECTORY_FD) if plan.mount_point else (PIDFD_FD,)
    return [*calls, libc.sendmsg_call("hello", CHANNEL_FD, messages.encode(messages.HELLO), descriptors)]


def _put_at(number: int, make: Callable[..., int], *arguments: Any) -> None:
    os.dup2(make(*arguments), number, False)


def _own_pidfd() -> int:
    return libc.syscall("pidfd_open", os.getpid(), 0)


def _close_others() -> list[libc.Call]:
    """Return what closes every descriptor above the channel."""
    try:
        libc.syscall("close_range", _ALL, _ALL, 0)
    except OSError:  # an old profile of a container may not know it
        return [libc.Call("descriptors", os.closerange, (DIRECTORY_FD, os.sysconf("SC_OPEN_MAX")), None)]
    return [libc.system_call("descriptors", "close_range", DIRECTORY_FD, _ALL, 0)]


def take_descriptors(channel: int, stdin: int, stdout: int, stderr: int, directory: int = -1) -> None:
    """Lay what came with the order out as above. Raises OSError; then CHANNEL_FD may still be anything."""
    if min(channel, stdin, stdout, stderr) < RESERVED:
        raise OSError("a descriptor of an order has a number that the zygote should have kept taken")
    os.dup2(stdin, 0)
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    if directory >= 0:
        os.dup2(directory, DIRECTORY_FD, False)
    os.dup2(channel, CHANNEL_FD, False)
