"""The two zygotes: warm interpreters that fork a child for each run, one plain, one with the libraries loaded.

Theory of operation. The server starts a process with a clean environment and one socket (its descriptor 0). It probes
the host, enters its namespaces, loads the standard library, and forks. The original process is the plain zygote, whose
children are several times cheaper to fork and tear down; the new one loads the libraries. Each leaves the host's file
tree, freezes its heap, reports that it is ready, and from then on does only three things: fork on request, report how
a child ended, reap. Both are single-threaded, have no key and no listener, and never see a byte of a request.

    descriptor   refers to       closed by
    control      the server      the zygote on exit; every child at its start. End of file here ends the zygote
    proc_fd      /proc           never; each child closes its copy once its ids are mapped
    status       one per child   the zygote, once the child is reaped. The server reads the exit status, or end of file
    pidfd        one per child   the zygote, once the child is reaped; the server has its own copy

Whatever ends a zygote ends its children: it is process 1 of a pid namespace; or else they have a parent-death signal,
and the overseer kills what they forked. When the zygote with the libraries exits, so does the plain one, and the server
restarts both.
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
from pyexec.zygote.loop import ForkServer, reporting_failures

CONTROL_FD = 0


def main() -> NoReturn:
    """Run the zygotes; the process that the server started either becomes the plain one or waits for it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # the server blocks the signals that it waits for
    control = socket.socket(fileno=CONTROL_FD)
    server = os.getppid()
    try:
        message = messages.receive(control)
    except messages.WireError:
        os._exit(0)
    settings, second = message.payload, socket.socket(fileno=message.descriptors[0])
    libc.prctl(libc.PR_SET_CHILD_SUBREAPER, 1)
    proc_fd = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    # The OOM killer is to pick a run first, then the zygotes, then the server.
    namespaces.write_own(proc_fd, "oom_score_adj", "500")
    with reporting_failures(control):
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
    with reporting_failures(control):
        other = _fork_second(host)
    if other == 0:
        control.close()
        libc.prctl(libc.PR_SET_CHILD_SUBREAPER, 1)  # not inherited across fork
        versions, missing = preload.libraries()
        ForkServer(second, settings, host, proc_fd).run({"libraries": versions, "missing": missing})
    second.close()
    details = {"python": sys.version.split()[0], "installed_code": sorted(known, key=len, reverse=True)}
    ForkServer(control, settings, host, proc_fd, other).run(dict(report(host), **details))


def _fork_second(host: Host) -> int:
    """Fork the zygote that will load the libraries, with its own mount namespace; return its pid, or 0 in it."""
    receive, send = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(receive)
        if "mount" in host.namespaces:
            namespaces.own_mounts()
        os.close(send)
        return 0
    # Wait until it has its own mounts before this process changes these.
    os.close(send)
    os.read(receive, 1)
    os.close(receive)
    return pid


def _fork_into_namespace(controls: Sequence[socket.socket], server: int) -> None:
    """Become process 1 of the new pid namespace; the process left outside waits and exits with the same status."""
    pid = os.fork()
    if pid:
        for control in controls:
            control.close()
        # Only with a pid namespace, whose processes all die with process 1. Without one the zygote must survive to see
        # the control socket close and to kill what admin runs forked; its children have the signal themselves.
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
