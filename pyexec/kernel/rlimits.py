"""Resource limits of one process of a run, soft and hard alike, so that nothing can raise them again.

Runs in the child before Landlock and seccomp. What rlimits can't count (a whole run's memory and processes where
RLIMIT_NPROC counts more than the run) is the server's watch's business.

Source: getrlimit(2). Measured: RLIMIT_NPROC stops nothing for uid 0, and counts a uid over the whole host.
"""

from __future__ import annotations

import errno
import math
import os
import resource
import signal

from pyexec.job import Plan
from pyexec.kernel import namespaces

DESCRIPTORS = 256
STACK_BYTES = 8 * 1024 * 1024
NICE = 5
_PROCESSORS = os.cpu_count() or 1  # asked once, in the zygote: it reads files, and each run would


def counts_own_processes(plan: Plan) -> bool:
    """Return whether RLIMIT_NPROC counts this run alone: a uid of its own, or a user namespace below a real user."""
    return plan.host.own_uids or ("user" in plan.host.namespaces and plan.host.uid != 0)


def cpu_s(plan: Plan) -> int:
    """Return the seconds of processor time of each process: more than it could use before the server's clock ends it.

    A backstop, should the server hang or be gone; the two seconds are for what a child does before it has its job.
    """
    # An admin's process may have as many threads as its run may have processes.
    threads = plan.budget.processes if plan.admin else 0
    return min(threads + 1, _PROCESSORS) * math.ceil(plan.budget.wall_s) + 2


def ended_by_cpu(status: int, used: resource.struct_rusage, limit_s: int) -> bool:
    """Return whether RLIMIT_CPU may have killed a process with this wait status and usage.

    For the limit the kernel counts ticks of its clock, each for whoever runs just then; the usage is the time itself.
    On a busy machine a process was killed at 12 s by ticks that had run for 9. So this asks for half of the limit only,
    and the server asks whether the run's time was up: before that the limit can't be met.
    """
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL and used[0] + used[1] > limit_s / 2


def values(plan: Plan) -> dict[int, int]:
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
    """Give the caller's new session a lower priority, in place of one equal to the server's; as root only.

    The kernel shares the processor out among sessions first, and a process's own nice value counts within its own.
    Others than root may do this once in 100 ms in the whole system, which is no promise to make.

    Raises:
        OSError: it was refused for another reason than that this kernel has no such groups, or lets only its first
            root do it at any time.
    """
    if os.geteuid() != 0:
        return
    try:
        namespaces.write_own(proc_fd, "autogroup", str(NICE))
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.EAGAIN, errno.EPERM, errno.EACCES, errno.EROFS):
            raise


def apply(plan: Plan) -> None:
    """Set every limit, and the lower priority that keeps the server answering beside busy runs.

    A limit that the host itself keeps lower stays as it is.

    Raises:
        OSError, ValueError: a limit was refused.
    """
    for what, value in values(plan).items():
        try:
            resource.setrlimit(what, (value, value))
        except ValueError:  # it would raise the hard limit
            value = min(value, resource.getrlimit(what)[1])
            resource.setrlimit(what, (value, value))
    os.nice(NICE)
