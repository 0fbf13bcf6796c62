"""The system call filter: an allowlist of named groups, each call with its reason; everything else is refused.

Runs in the child, as its last layer. Public scripts get `PUBLIC`; admin scripts get `ADMIN` on top, since they may
start processes. No call on either list makes a socket to anywhere, a namespace, a mount, or reaches another process
(signals of admin scripts excepted, where another layer keeps them inside the run).

Source: seccomp(2), seccomp_filter.rst; x32 numbers carry bit 30 and so match no rule.
"""

from __future__ import annotations

import ctypes
import errno
import functools
from typing import Dict, List, NamedTuple, Optional, Tuple

from pyexec.job import Plan
from pyexec.kernel import bpf, libc
from pyexec.kernel.bpf import Check

SECCOMP_SET_MODE_FILTER = 1
SECCOMP_GET_ACTION_AVAIL = 2

_O_TMPFILE = 0o20000000  # __O_TMPFILE alone: an unnamed file escapes every count of the directory
_CLONE_FORBIDDEN = 0x7E028000 | 0x80  # CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET,TIME}, CLONE_PARENT
_ALL = 0xFFFFFFFF
_ALL64 = 2**64 - 1

# fcntl: duplicating and flags. Not F_SETOWN and F_SETSIG: they send any signal to any process of the uid. Nor, for
# public scripts, locks: on a file that all runs can read they would be a sign from one run to another.
_FCNTL_COMMANDS = (0, 1, 2, 3, 4, 1030, 1032, 1034)
_FCNTL = Check(1, 32, _ALL, _FCNTL_COMMANDS)
_FCNTL_AND_LOCKS = Check(1, 32, _ALL, (5, 6, 7, 36, 37, 38) + _FCNTL_COMMANDS)
# ioctl: TCGETS (isatty), TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX. Not TIOCSTI (CVE-2017-5226).
_IOCTL = Check(1, 32, _ALL, (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451))
# Pid 0 is the caller itself. Whoever may ask about any other learns which processes there are.
_SELF = Check(0, 32, _ALL, (0,))
_OWN_PRIORITY = Check(1, 32, _ALL, (0,))
_READ_LIMIT = Check(2, 64, _ALL64, (0,))  # no new value
_NO_ADDRESS = Check(4, 64, _ALL64, (0,))
_AF_UNIX = Check(0, 32, _ALL, (1,))
# Nor O_TRUNC on a file opened for reading: before ABI 3 Landlock takes the right to read for enough.
_O_ACCMODE, _O_TRUNC = 0o3, 0o1000
_OPEN_MASK = _O_TMPFILE | _O_ACCMODE | _O_TRUNC
_OPEN_VALUES = (0, 1, 2, 3, _O_TRUNC | 1, _O_TRUNC | 2)
_OPENAT = Check(2, 32, _OPEN_MASK, _OPEN_VALUES)
_OPEN = Check(1, 32, _OPEN_MASK, _OPEN_VALUES)
# futex: wait, wake and requeue, by which the C library locks; no inheritance of priority (CVE-2014-3153,
# CVE-2021-3347). For public scripts, each a single process, with FUTEX_PRIVATE_FLAG only: one on a page of a file that
# all runs can read is known by the file, and would be a sign from one run to another.
_FUTEX_PRIVATE, _FUTEX_CLOCK_REALTIME = 128, 256
_FUTEX_COMMANDS = (0, 1, 3, 4, 5, 9, 10)
_FUTEX = Check(1, 32, _ALL & ~_FUTEX_CLOCK_REALTIME, tuple(_FUTEX_PRIVATE | command for command in _FUTEX_COMMANDS))
_FUTEX_AND_SHARED = Check(1, 32, _ALL & ~(_FUTEX_CLOCK_REALTIME | _FUTEX_PRIVATE), _FUTEX_COMMANDS)
_NO_NAMESPACE = Check(0, 64, _CLONE_FORBIDDEN, (0,))
_NAMES = Check(0, 32, _ALL, (15, 16))  # PR_SET_NAME, PR_GET_NAME

_Entry = Tuple[str, Tuple[Check, ...]]


class Group(NamedTuple):
    """Calls that are allowed for one reason."""

    reason: str
    calls: Tuple[_Entry, ...]


class Contained(NamedTuple):
    """What other layers keep inside the run, so that the filter may let it pass."""

    signals: bool
    metadata: bool


EVERYTHING_CONTAINED = Contained(True, True)


def _plain(names: str) -> Tuple[_Entry, ...]:
    return tuple((name, ()) for name in names.split())


PUBLIC: Tuple[Group, ...] = (
    Group("memory of the process itself", _plain("brk mmap munmap mremap mprotect madvise")),
    Group(
        "open descriptors: streams, the script's files, libraries being loaded",
        _plain("read write writev pread64 lseek close fstat ftruncate getdents64 dup dup2 dup3")
        + (("fcntl", (_FCNTL,)), ("ioctl", (_IOCTL,))),
    ),
    Group(
        "files by name, under the rules of Landlock and of the mount tree",
        _plain("stat lstat newfstatat statx access faccessat readlink readlinkat getcwd")
        + (("open", (_OPEN,)), ("openat", (_OPENAT,))),
    ),
    Group("clocks and sleeping", _plain("clock_gettime clock_getres gettimeofday clock_nanosleep nanosleep")),
    Group("sleeping in Python before 3.11, waiting for input", _plain("select pselect6 poll ppoll")),
    Group("signal handlers of the process itself", _plain("rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack")),
    Group(
        "locks of the interpreter, waiting for another thread",
        (("futex", (_FUTEX,)),) + _plain("sched_yield restart_syscall"),
    ),
    Group("random numbers", _plain("getrandom")),
    Group(
        "what the process may know of itself",
        _plain("getpid gettid getuid geteuid uname getrusage")
        + (("prlimit64", (_SELF, _READ_LIMIT)), ("sched_getaffinity", (_SELF,))),
    ),
    Group("the end", _plain("exit exit_group")),
)

ADMIN: Tuple[Group, ...] = (
    Group("record locks, without which databases don't work", (("fcntl", (_FCNTL_AND_LOCKS,)),)),
    Group("locks that processes share, the end of threads", (("futex", (_FUTEX_AND_SHARED,)),)),
    Group(
        "starting and awaiting processes, at most as many as RLIMIT_NPROC or the watch allow",
        _plain(
            "fork vfork execve wait4 waitid close_range set_tid_address set_robust_list rseq arch_prctl getppid getpgrp"
        )
        + (("clone", (_NO_NAMESPACE,)), ("prctl", (_NAMES,))),
    ),
    Group(
        "pipes and events between those processes",
        _plain("pipe pipe2 eventfd2 epoll_create1 epoll_ctl epoll_wait epoll_pwait"),
    ),
    Group(
        "a connected pair for event loops; no call that could name an address",
        (("socketpair", (_AF_UNIX,)), ("sendto", (_NO_ADDRESS,))) + _plain("recvfrom shutdown getsockopt"),
    ),
    Group(
        "the whole of a file system interface, under the rules of Landlock and of the mount tree",
        _plain(
            "mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2 link linkat symlink symlinkat chdir fchdir"
            " fchmod fallocate umask statfs fstatfs flock fsync"
            " fdatasync sync_file_range msync readv preadv pwritev pwrite64 sendfile copy_file_range fadvise64"
            " faccessat2 getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr"
        ),
    ),
    Group(
        "what programs ask about themselves",
        _plain("getgid getegid getgroups getresuid getresgid sysinfo times capget alarm setitimer getitimer time pause")
        + _plain("rt_sigtimedwait rt_sigsuspend rt_sigpending getcpu")
        + (("getpriority", (_OWN_PRIORITY,)), ("sched_getparam", (_SELF,)), ("sched_getscheduler", (_SELF,))),
    ),
)

# Landlock doesn't look at them: only where the mount tree or the own uid keeps them to the run's own files.
ADMIN_METADATA = Group(
    "modes, times and lengths of files by name", _plain("truncate chmod fchmodat utime utimes utimensat")
)

# Sent on only where the pid namespace, the own uid or Landlock's signal scope keeps them inside the run.
ADMIN_SIGNALS = Group("signals to the run's own processes", _plain("kill tkill tgkill"))

# Callers have a fall-back for these and use it on ENOSYS; EPERM would be taken as final.
_ABSENT = "clone3 openat2 faccessat2 rseq set_robust_list memfd_create close_range statx"


def policy(admin: bool, contained: Contained) -> Tuple[Group, ...]:
    """Return the groups allowed to public or to admin scripts."""
    if not admin:
        return PUBLIC
    groups = PUBLIC + ADMIN
    groups += (ADMIN_SIGNALS,) if contained.signals else ()
    return groups + ((ADMIN_METADATA,) if contained.metadata else ())


def allowed(admin: bool, contained: Contained, machine: str) -> Dict[str, Tuple[Check, ...]]:
    """Return call name → checks, for the calls that exist on this machine."""
    entries = [entry for group in policy(admin, contained) for entry in group.calls]
    return {name: checks for name, checks in entries if libc.number(name, machine) is not None}


def program(admin: bool, contained: Contained, machine: Optional[str] = None) -> List[bpf.Instruction]:
    """Return the assembled filter. Pure for a given machine (default: this one)."""
    machine = machine or libc.machine()
    calls = allowed(admin, contained, machine)
    rules = [bpf.Rule(libc.number(name, machine), checks, bpf.RET_ALLOW) for name, checks in calls.items()]  # type: ignore[arg-type]
    for name in _ABSENT.split():
        nr = libc.number(name, machine)
        if nr is not None and name not in calls:
            rules.append(bpf.Rule(nr, (), bpf.errno_action(errno.ENOSYS)))
    return bpf.assemble(bpf.AUDIT_ARCH[machine], rules, bpf.errno_action(errno.EPERM))


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def probe() -> bool:
    """Return whether the kernel has seccomp filters that can end a process (Linux 4.14)."""
    action = ctypes.c_uint32(bpf.RET_KILL_PROCESS)
    try:
        libc.syscall("seccomp", SECCOMP_GET_ACTION_AVAIL, 0, action)
    except OSError:
        return False
    return True


def load(code: bytes) -> None:
    """Put a filter, as made by `bpf.encode`, on this thread, for good. Needs no_new_privs.

    Raises:
        OSError: the kernel refused it.
    """
    buffer = ctypes.create_string_buffer(code, len(code))
    libc.syscall(
        "seccomp", SECCOMP_SET_MODE_FILTER, 0, _Program(len(code) // bpf.INSTRUCTION_BYTES, ctypes.addressof(buffer))
    )


@functools.lru_cache(maxsize=None)
def _encoded(admin: bool, contained: Contained) -> bytes:
    return bpf.encode(program(admin, contained))


def prepare(plan: Plan) -> bytes:
    """Return the plan's filter; called in the template, so that no child has to put it together."""
    return _encoded(plan.admin, Contained(plan.signals_contained, plan.metadata_contained))


def apply(plan: Plan) -> None:
    """Put the plan's filter on this process; see `load`."""
    load(prepare(plan))
