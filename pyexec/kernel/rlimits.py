"""Resource limits of one process of a run, soft and hard alike, so that nothing can raise them again.

Those that are the same for all runs are set in the zygote, the others in the child before Landlock and seccomp. What
rlimits can't count (a whole run's memory, and processes where RLIMIT_NPROC counts more than the run) is the business of
the server's watch.

Source: getrlimit(2). Measured: RLIMIT_NPROC stops nothing for uid 0, and counts a uid over the whole host.
"""

from __future__ import annotations

import errno
import math
import os
import resource
import signal
from typing import Dict, List

from pyexec.job import Plan
from pyexec.kernel import libc

DESCRIPTORS = 256
STACK_BYTES = 8 * 1024 * 1024
NICE = 5
_NICE_TEXT = b"%d" % NICE
_LOWEST_PRIORITY = 19
# What a zygote does not need either: it starts no program, locks no memory, and its uid queues no signals of its own.
INHERITED = (
    resource.RLIMIT_STACK,
    resource.RLIMIT_CORE,
    resource.RLIMIT_MEMLOCK,
    resource.RLIMIT_MSGQUEUE,
    resource.RLIMIT_NICE,
    resource.RLIMIT_RTPRIO,
    resource.RLIMIT_SIGPENDING,
)


def counts_own_processes(plan: Plan) -> bool:
    """Return whether RLIMIT_NPROC counts this run alone: a uid of its own, or a user namespace below a real user."""
    return plan.host.own_uids or ("user" in plan.host.namespaces and plan.host.uid != 0)


def cpu_s(plan: Plan) -> int:
    """Return the seconds of processor time of each process: more than it could use before the server's clock ends it.

    A backstop, should the server hang or be gone; the two seconds are for what a child does before it has its job.
    """
    # An admin's process may have as many threads as its run may have processes.
    threads = plan.budget.processes if plan.admin else 0
    return min(threads + 1, os.cpu_count() or 1) * math.ceil(plan.budget.wall_s) + 2


def ended_by_cpu(status: int, used_s: float, limit_s: int) -> bool:
    """Return whether a process with this wait status and processor time was killed for that.

    The kernel counts the ticks of its clock for the limit, and the time itself for the usage: a second's difference.
    """
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL and used_s > limit_s - 1


def values(plan: Plan) -> Dict[int, int]:
    """Return rlimit → value for a plan. Pure."""
    budget = plan.budget
    limits = {
        resource.RLIMIT_AS: plan.baseline_bytes + budget.memory_bytes,
        resource.RLIMIT_CPU: cpu_s(plan),
        resource.RLIMIT_FSIZE: budget.workdir_bytes,
        resource.RLIMIT_NOFILE: DESCRIPTORS,
        resource.RLIMIT_STACK: STACK_BYTES,
        # Not 0, with which a core handler that is a pipe starts all the same; with 1 none does, and no file is made.
        resource.RLIMIT_CORE: 1,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_NICE: 0,
        resource.RLIMIT_RTPRIO: 0,
        resource.RLIMIT_SIGPENDING: 64,
    }
    if counts_own_processes(plan):
        # A public script is one process. An admin script has its keeper and its first process.
        limits[resource.RLIMIT_NPROC] = 2 + budget.processes if plan.admin else 1
    return limits


def yield_as_a_session(proc_fd: int) -> None:
    """Give the caller's new session a lower priority, in place of one equal to the server's; for root.

    The kernel shares the processor out among sessions first, and a process's own nice value counts within its own.
    Others than root may do this once in 100 ms in the whole system, which is no promise to make.

    Raises:
        OSError: it was refused for another reason than that this kernel has no such groups, or lets only its first
            root do it at any time.
    """
    try:
        fd = os.open("self/autogroup", os.O_WRONLY | os.O_CLOEXEC, dir_fd=proc_fd)
        try:
            os.write(fd, _NICE_TEXT)
        finally:
            os.close(fd)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.EAGAIN, errno.EPERM, errno.EACCES, errno.EROFS):
            raise


def inherit(plan: Plan) -> None:
    """Set, in the zygote, the limits that are the same for all its children and that it can live with itself.

    A limit that the host itself keeps lower stays as it is.

    Raises:
        OSError, ValueError: a limit was refused. RuntimeError: it did not take effect.
    """
    for what, value in values(plan).items():
        if what in INHERITED:
            pair = (_possible(what, value),) * 2
            resource.setrlimit(what, pair)
            if resource.getrlimit(what) != pair:
                raise RuntimeError("rlimit %d did not take effect" % what)


def calls(plan: Plan) -> List[libc.Call]:
    """Return the calls by which a child sets its other limits, and takes a lower priority, as seen from the zygote.

    The priority keeps the server answering beside busy runs.
    """
    limits = {what: _possible(what, value) for what, value in values(plan).items() if what not in INHERITED}
    found = [libc.Call("rlimits", resource.setrlimit, (what, (value, value)), None) for what, value in limits.items()]
    return [
        *found,
        libc.Call("rlimits", os.nice, (NICE,), min(_LOWEST_PRIORITY, os.getpriority(os.PRIO_PROCESS, 0) + NICE)),
    ]


def _possible(what: int, value: int) -> int:
    hard = resource.getrlimit(what)[1]
    return value if hard == resource.RLIM_INFINITY else min(value, hard)
