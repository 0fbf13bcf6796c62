"""The two templates: interpreters that fork a child for each run, one plain, one with the libraries loaded.

Theory of operation. The server starts a process with a clean environment and one socket (its descriptor 0). It finds
out what the host offers, takes its namespaces, loads the standard library, and forks: the plain template stays what it
is, since that is forked and torn down several times cheaper than the other, which loads the libraries. Each leaves the
host's file tree, freezes its heap, says that it is ready, and then does three things only: fork when told to, tell how
a child ended, reap. They are single-threaded, have no key, no listener, and never see a byte of a request.

    descriptor   of            closed by
    control      the server    its template at the end; every child at its start. End of file here ends the template
    proc_fd      /proc         stays; each child closes its copy once its ids are mapped
    status       one a child   here once the child is reaped: the server reads the exit status, or that we died
    pidfd        one a child   here once the child is reaped; the server has its own copy

Whatever ends a template ends its children: as process 1 of a pid namespace, or by their parent-death signal and, for
what those have forked, by the process above the templates. When the one with the libraries ends, the plain one ends
too, and the server starts both anew.
"""

from __future__ import annotations

import dataclasses
import gc
import os
import signal
import socket
import sys
from typing import Any, Dict, NoReturn, Sequence

from pyexec import messages
from pyexec.job import Host
from pyexec.kernel import layers, libc, namespaces, policy, seccomp
from pyexec.zygote import overseer, preload
from pyexec.zygote.loop import ForkServer, failures_told

CONTROL_FD = 0


def main() -> NoReturn:
    """Be the templates; the process that the server started either becomes the plain one or waits for it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # the server blocks those that it waits for
    control = socket.socket(fileno=CONTROL_FD)
    server = os.getppid()
    try:
        message = messages.receive(control)
    except messages.WireError:
        os._exit(0)
    settings, second = message.payload, socket.socket(fileno=message.descriptors[0])
    libc.prctl(libc.PR_SET_CHILD_SUBREAPER, 1)
    proc_fd = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    # The kernel's memory killer takes a run first, then the templates, then the server.
    namespaces.write_own(proc_fd, "oom_score_adj", "500")
    with failures_told(control):
        host = layers.probe(settings["uid_base"], proc_fd)
        if layers.uncovered(host):
            messages.send(control, messages.READY, report(host))
            os._exit(1)
        namespaces.enter_template(host, proc_fd)
    if "pid" in host.namespaces:
        _fork_into_namespace((control, second), server)
    else:
        overseer.fork_below((control, second), proc_fd)
    known = preload.installed_code()
    sys.path[:] = [path for path in sys.path if path in known]
    gc.disable()
    preload.standard_library(settings["modules"])
    with failures_told(control):
        other = _fork_second(host)
    if other == 0:
        control.close()
        libc.prctl(libc.PR_SET_CHILD_SUBREAPER, 1)  # which a fork doesn't hand down
        versions, missing = preload.libraries()
        ForkServer(second, settings, host, proc_fd).run({"libraries": versions, "missing": missing})
    second.close()
    words = {"python": sys.version.split()[0], "installed_code": sorted(known, key=len, reverse=True)}
    ForkServer(control, settings, host, proc_fd, other).run(dict(report(host), **words))


def _fork_second(host: Host) -> int:
    """Fork the template that is to have the libraries, with mounts of its own; return its pid, 0 in it."""
    receive, send = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(receive)
        if "mount" in host.namespaces:
            namespaces.own_mounts()
        os.close(send)
        return 0
    # Not before it has taken its mounts does this one change its own.
    os.close(send)
    os.read(receive, 1)
    os.close(receive)
    return pid


def _fork_into_namespace(controls: Sequence[socket.socket], server: int) -> None:
    """Become process 1 of the new pid namespace; the process left outside only waits and ends likewise."""
    pid = os.fork()
    if pid:
        for control in controls:
            control.close()
        # Only here, where our end takes every process of the namespace with it. Without one the template must live to
        # see the control socket close, and kill what admin runs have forked; its children have the signal themselves.
        libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != server:
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        os._exit(1 if os.WIFSIGNALED(status) else os.WEXITSTATUS(status))
    libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)


def report(host: Host) -> Dict[str, Any]:
    """Return what the server and `doctor` want to know of a host, ready for a message."""
    table = [
        {"danger": danger.name, "layers": names, "remedy": danger.remedy} for danger, names in layers.covered(host)
    ]
    return {
        "layers": [dataclasses.asdict(status) for status in layers.report(host)],
        "dangers": table,
        "namespaces": host.namespaces,
        "own_uids": host.own_uids,
        "calls": {
            name: len(seccomp.allowed(admin, policy.EVERYTHING_CONTAINED, libc.machine()))
            for name, admin in (("public", False), ("admin", True))
        },
    }
