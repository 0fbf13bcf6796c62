"""Resource limits of one process of a run, soft and hard alike, so that nothing can raise them again.

Runs in the child before Landlock and seccomp. What rlimits can't count (a whole run's memory and processes where
RLIMIT_NPROC counts more than the run) is enforced by the server's watch.

Source: getrlimit(2). Measured: RLIMIT_NPROC stops nothing for uid 0, and counts a uid across the whole host.
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
    """Return whether RLIMIT_NPROC counts this run alone: it has its own uid, or a user namespace of a non-root user."""
    return plan.host.own_uids or ("user" in plan.host.namespaces and plan.host.uid != 0)


def cpu_s(plan: Plan) -> int:
    """Return the CPU seconds allowed per process: more than it can use before the server's timeout ends the run.

    A backstop in case the server hangs or dies; the two extra seconds cover a child's work before it gets its job.
    """
    return min(plan.budget.threads + 1, _PROCESSORS) * math.ceil(plan.budget.wall_s) + 2


def ended_by_cpu(status: int, used: resource.struct_rusage, limit_s: int) -> bool:
    """Return whether RLIMIT_CPU may have killed a process with this wait status and usage.

    The kernel enforces the limit in clock ticks, each charged to the process running at that time; the usage is exact.
    On a busy machine a process with a limit of 12 s was killed after 9 s of use. So this requires only half the limit,
    and the server also checks that the run's time was up: the limit can't be reached before that.
    """
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL and used[0] + used[1] > limit_s / 2


def values(plan: Plan) -> dict[int, int]:
    """Return rlimit → value for a plan. Pure."""
    budget = plan.budget
    limits = {
        # Stacks are reserved whole and used in part; how much of that may be used at once is for the watch.
        resource.RLIMIT_AS: plan.baseline_bytes + budget.memory_bytes + budget.threads * STACK_BYTES,
        resource.RLIMIT_CPU: cpu_s(plan),
        resource.RLIMIT_FSIZE: budget.workdir_bytes,
        resource.RLIMIT_NOFILE: DESCRIPTORS,
        resource.RLIMIT_STACK: STACK_BYTES,
        # Not 0: a piped core handler would still be started. With 1 it is not, and no core file is written either.
        resource.RLIMIT_CORE: 1,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_NICE: 0,
        resource.RLIMIT_RTPRIO: 0,
        resource.RLIMIT_SIGPENDING: 64,
    }
    if counts_own_processes(plan):
        # Threads count as processes do. A public script is one process. An admin script has its supervisor beside it.
        limits[resource.RLIMIT_NPROC] = budget.threads + (2 + budget.processes if plan.admin else 1)
    return limits


def yield_as_a_session(proc_fd: int) -> None:
    """Lower the priority of the caller's new session, which would otherwise equal the server's; only as root.

    The kernel divides CPU time among sessions first; a process's nice value counts only within its session.
    Other users may do this only once per 100 ms system-wide, which is too rarely to rely on.

    Raises:
        OSError: it was refused, other than because the kernel has no such groups or lets only the initial
            namespace's root do it at any time.
    """
    if os.geteuid() != 0:
        return
    try:
        namespaces.write_own(proc_fd, "autogroup", str(NICE))
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.EAGAIN, errno.EPERM, errno.EACCES, errno.EROFS):
            raise


def apply(plan: Plan) -> None:
    """Set every limit, and a lower priority so that the server stays responsive beside busy runs.

    A limit that the host already sets lower is kept.

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
