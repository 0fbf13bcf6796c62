"""A zygote forks a child for each order, and outlives every order that fails."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
from typing import Optional

import pytest
from processes import PLAIN, anyone_left, await_that, descendants, zygote
from sandboxes import failing
from servers import works

from pyexec import messages
from pyexec.kernel import libc
from pyexec.zygote.loop import Loop, Prepared


class _Gate:
    def __init__(self, refuses: bool = False) -> None:
        self.refuses, self.left = refuses, False

    def enter_for_next_fork(self) -> None:
        if self.refuses:
            raise OSError(28, "No space left on device")

    def leave(self) -> None:
        self.left = True


def _spawn_in_vain(gate: Optional[_Gate] = None) -> None:
    """Have a zygote, not started, make a child that it can't make; check that it goes on and that the server hears."""
    control, far_control = messages.pair()
    status, far_status = messages.pair()
    spare = [os.open("/dev/null", os.O_RDONLY) for _ in range(4)]
    badness, log = os.open("/dev/null", os.O_WRONLY), []
    gate = gate or _Gate()
    server = Loop(control, lambda order: Prepared(order, (), 1), None, gate, badness, log.append)  # type: ignore[arg-type]
    server.spawn(messages.encode_order(messages.Order(0, False)), (spare[0], far_status.detach(), *spare[1:]))
    assert not server._running and gate.left
    assert status.recv(10) == b""  # the server hears of it
    assert len(log) == 1
    for fd in spare:
        with pytest.raises(OSError):
            os.fstat(fd)
    os.close(badness)
    for end in (control, far_control, status):
        end.close()


def test_a_fork_that_fails_ends_one_child_and_not_the_zygote(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> int:
        raise BlockingIOError(11, "no process left")

    monkeypatch.setattr(os, "fork", fail)
    _spawn_in_vain()


def test_a_child_that_no_descriptor_is_left_for_is_killed_and_reaped(monkeypatch: pytest.MonkeyPatch) -> None:
    process = subprocess.Popen(["sleep", "60"])  # stands for the child

    def fork() -> int:
        return process.pid

    def fail(pid: int) -> int:
        raise OSError(24, "no descriptor left", "pidfd_open")

    monkeypatch.setattr(os, "fork", fork)
    monkeypatch.setattr(libc, "pidfd_open", fail)
    _spawn_in_vain()
    process.returncode = -signal.SIGKILL  # has been taken
    with pytest.raises(ChildProcessError):
        os.waitpid(process.pid, 0)


def test_a_pid_namespace_that_is_refused_ends_one_child_and_not_the_zygote() -> None:
    """As without memory, or past user.max_pid_namespaces."""

    _spawn_in_vain(_Gate(refuses=True))


def test_an_order_that_a_zygote_has_no_descriptors_for_ends_one_child_and_not_the_zygote(running) -> None:
    forking = zygote(running.process.pid, PLAIN)
    before = sorted(descendants(running.process.pid))
    old = resource.prlimit(forking, resource.RLIMIT_NOFILE)
    held = len(os.listdir("/proc/%d/fd" % forking))
    resource.prlimit(forking, resource.RLIMIT_NOFILE, (held, old[1]))
    assert works(running)  # in the child that waited; it is to be followed by another
    await_that(lambda: "no descriptor is left for a child" in running.log)
    resource.prlimit(forking, resource.RLIMIT_NOFILE, old)
    await_that(lambda: works(running))
    assert running.client.health()["template_restarts"] == 0 and anyone_left([forking])
    await_that(lambda: len(descendants(running.process.pid)) == len(before))


def test_a_full_log_ends_no_zygote(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that could not be made is worth a line; every run would end with the zygote."""

    class Full:
        write = flush = staticmethod(failing(OSError(errno.ENOSPC, "No space left on device")))

    monkeypatch.setattr(sys, "stderr", Full())
    monkeypatch.setattr(os, "fork", failing(BlockingIOError(errno.EAGAIN, "no process left")))
    _spawn_in_vain()
