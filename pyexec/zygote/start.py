"""The nursery, from its start to its loop: the interpreter that all zygotes are forked from.

Theory of operation. The server starts a process with a clean environment and one socket (its descriptor 0). It probes
the host, enters its namespaces and loads most of the standard library: this is the nursery. Each zygote is forked from
it, loads the libraries of its kind, leaves the host's file tree, freezes its heap, reports that it is ready, and from
then on does only three things: fork on request, report how a child ended, reap. All are single-threaded, have no key
and no listener, and never see a byte of a request.

    descriptor   refers to       closed by
    control      the server      the nursery or zygote on exit. End of file here ends it
    proc_fd      /proc           never; each child closes its copy at the end of its confinement
    status       one per child   the zygote, once the child is reaped; a zygote's, the nursery. The server reads the
                                 exit code, or end of file if the process that should have reported has ended too
    pidfd        one per child   the zygote, once the child is reaped; the server has another from the child itself

Whatever ends a zygote ends its children, by their parent-death signal, and `overseer` kills what those have forked.
Whatever ends the nursery ends all zygotes: it is process 1 of a pid namespace, or else the process above it kills them.
"""

from __future__ import annotations

import dataclasses
import gc
import os
import signal
import socket
import sys
from typing import Any, NoReturn

from pyexec import messages
from pyexec.child import bottom
from pyexec.job import HEAVY, Host
from pyexec.kernel import layers, libc, namespaces, policy, rlimits, seccomp
from pyexec.zygote import low_priority, overseer, preload
from pyexec.zygote.loop import OWN_BADNESS
from pyexec.zygote.nursery import Nursery
from pyexec.zygote.row import Nest, reporting_failures

CONTROL_FD = 0


def main() -> NoReturn:
    """Run the nursery, if possible as process 1 of a pid namespace; the process that the server started waits."""
    try:
        os.fstat(2)
    except OSError:  # the server has no standard error; nothing else must get its number
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # the server blocks the signals that it waits for
    control = socket.socket(fileno=CONTROL_FD)
    server = os.getppid()
    try:
        settings = messages.receive(control).payload
    except messages.WireError:
        os._exit(0)
    libc.prctl(libc.PR_SET_CHILD_SUBREAPER, 1)
    proc_fd = libc.high(os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    namespaces.write_own(proc_fd, "oom_score_adj", OWN_BADNESS.decode())
    with reporting_failures(control):
        host = layers.probe(settings["uid_base"], proc_fd, settings["work_dir"])
        if layers.uncovered(host):
            messages.send(control, messages.READY, report(host))
            os._exit(1)
        shared = namespaces.shareable(host, proc_fd)
        namespaces.enter_nursery(host, proc_fd)
    if "pid" in host.namespaces:
        _fork_into_namespace(control, server)
    else:
        overseer.fork_below(control, proc_fd)
    known = preload.installed_code()
    sys.path[:] = [path for path in sys.path if path in known]
    gc.disable()
    settings["gently"] = settings["gently"] and low_priority.is_possible()
    standard, added, unknown = preload.sort_out(settings["modules"])
    heavy = [name for name in standard if name.partition(".")[0] in HEAVY]
    light = [name for name in standard if name not in heavy]
    with reporting_failures(control), low_priority.at_low_priority(settings["gently"]):
        preload.standard_library(light)
        gc.freeze()
    facts = {"python": sys.version.split()[0], "added": added, "unknown": unknown}
    messages.send(control, messages.READY, dict(report(host), **facts))
    Nursery(control, Nest(settings, host, shared, proc_fd, tuple(heavy), tuple(added))).run()


def _fork_into_namespace(control: socket.socket, server: int) -> None:
    """Become process 1 of the new pid namespace; the process left outside waits and exits with the same status."""
    pid = os.fork()
    if pid:
        control.close()
        # Only with a pid namespace, whose processes all die with process 1. Without one the zygotes must survive to see
        # their control sockets close and to kill what admin runs forked; their children have the signal themselves.
        libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != server:
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        os._exit(1 if os.WIFSIGNALED(status) else os.WEXITSTATUS(status))
    libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)


def report(host: Host) -> dict[str, Any]:
    """Return what the server and `doctor` need to know about a host, ready to be sent; see `job.HostReport`."""
    table = [{"name": danger.name, "layers": names, "remedy": danger.remedy} for danger, names in layers.covered(host)]
    return {
        "layers": [dataclasses.asdict(status) for status in layers.report(host)],
        "dangers": table,
        "namespaces": host.namespaces,
        "own_uids": host.own_uids,
        "tmpfs_bytes": host.tmpfs_bytes,
        "counts_tasks": rlimits.counts_own_processes(host),
        "own_stacks": bottom.FOUND,
        "calls": {
            name: len(seccomp.allowed(admin, policy.contained(host), libc.machine()))
            for name, admin in (("public", False), ("admin", True))
        },
    }
