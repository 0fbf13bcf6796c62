"""Resource limits of one process of a run, soft and hard alike, so that nothing can raise them again.

The zygote sets those that are the same for all runs, each child the others, before Landlock and seccomp. What rlimits
can't count (a whole run's memory, and processes where RLIMIT_NPROC counts more than the run) is enforced by the
server's watch.

Source: getrlimit(2). Measured: RLIMIT_NPROC stops nothing for uid 0, and counts a uid across the whole host.
"""

from __future__ import annotations

import errno
import math
import os
import resource
import signal

from pyexec.job import DESCRIPTORS, Host, Plan
from pyexec.kernel import libc, namespaces

STACK_BYTES = 8 * 1024 * 1024
NICE = 5
_PROCESSORS = os.cpu_count() or 1  # asked once, in the zygote: it reads files, and each run would
_NICE_TEXT = b"%d" % NICE
_LOWEST_PRIORITY = 19
# The zygote doesn't need these either: it starts no program, locks no memory and queues no signals.
INHERITED = (
    resource.RLIMIT_STACK,
    resource.RLIMIT_CORE,
    resource.RLIMIT_MEMLOCK,
    resource.RLIMIT_MSGQUEUE,
    resource.RLIMIT_NICE,
    resource.RLIMIT_RTPRIO,
    resource.RLIMIT_SIGPENDING,
)


def counts_own_processes(host: Host) -> bool:
    """Return whether RLIMIT_NPROC counts one run alone: it has its own uid, or a user namespace of a non-root user."""
    return host.counts_tasks and (host.own_uids or ("user" in host.namespaces and host.uid != 0))


def probe(uid: int | None, user_namespace: bool) -> bool:
    """Return whether RLIMIT_NPROC counts what one run has alone, once it has this uid or a user namespace; tries it.

    By user namespace the kernel counts from Linux 5.14 on only. Forks.
    """

    def step() -> None:
        if uid is not None:
            os.setresuid(uid, uid, uid)
        elif user_namespace:
            libc.syscall("unshare", namespaces.CLONE_NEWUSER)
        resource.setrlimit(resource.RLIMIT_NPROC, (2, 2))  # this process, and one more
        started: list[int] = []
        try:
            while len(started) < 2:
                pid = os.fork()
                if pid == 0:
                    signal.pause()
                started.append(pid)
        except BlockingIOError:
            pass
        finally:
            # Reaped here: a process that is only dead still counts, for the first run of this uid.
            for pid in started:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
        if len(started) != 1:
            raise OSError(errno.EAGAIN, "RLIMIT_NPROC counts others as well, or nothing")

    return not namespaces.in_a_child(step)


def cpu_s(plan: Plan) -> int:
    """Return the CPU seconds allowed per process: more than it can use before the server's timeout ends the run.

    A backstop in case the server hangs or dies; the two extra seconds cover a child's work before it gets its job.
    """
    return min(plan.budget.threads + 1, _PROCESSORS) * math.ceil(plan.budget.wall_s) + 2


def ended_by_cpu(status: int, used_s: float, limit_s: int) -> bool:
    """Return whether RLIMIT_CPU may have killed a process with this wait status and processor time.

    The kernel enforces the limit in clock ticks, each charged to the process running at that time; the usage is exact.
    On a busy machine a process with a limit of 12 s was killed after 9 s of use. So this requires only half the limit,
    and the server also checks that the run's time was up: the limit can't be reached before that.
    """
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL and used_s > limit_s / 2


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
    if counts_own_processes(plan.host):
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
    """In the zygote, set the limits that are the same for all its children and that it can run with itself.

    A limit that the host already sets lower is kept.

    Raises:
        OSError, ValueError: a limit was refused. RuntimeError: it did not take effect.
    """
    for what, value in values(plan).items():
        if what in INHERITED:
            pair = (_possible(what, value),) * 2
            resource.setrlimit(what, pair)
            if resource.getrlimit(what) != pair:
                raise RuntimeError(f"rlimit {what} did not take effect")


def calls(plan: Plan) -> list[libc.Call]:
    """Return the calls by which a child sets its other limits and lowers its priority, given those of this zygote.

    The lower priority keeps the server responsive beside busy runs.
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
