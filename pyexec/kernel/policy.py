"""What the system call filter allows and answers: named groups of calls, each with its reason. Data only.

Public scripts get `PUBLIC`; admin scripts get `ADMIN` on top, since they may start processes. No call on either list
makes a socket to anywhere, a namespace, a mount, or reaches another process (signals of admin scripts excepted, where
another layer keeps them inside the run). Each call was asked two questions: does Landlock look at it, and does a limit
count what it takes? Where the answer is no, the reason says what bounds it instead, or the call is checked, answered
without being done, or let through only where another layer holds it. SECURITY.md sums up what is left.
"""

from __future__ import annotations

import errno
from typing import Dict, NamedTuple, Tuple

from pyexec.job import Plan
from pyexec.kernel.bpf import Check

_ALL = 0xFFFFFFFF
_ALL64 = 2**64 - 1
_Entry = Tuple[str, Tuple[Check, ...]]


class Group(NamedTuple):
    """Calls that are allowed for one reason. Of a call that stands in two groups, the later one's checks count."""

    reason: str
    calls: Tuple[_Entry, ...]


class Contained(NamedTuple):
    """What other layers keep inside the run, so that the filter may let it pass."""

    signals: bool
    metadata: bool  # modes, owners and times of files
    lengths: bool  # truncation of files by name
    files: bool  # a tree and a tmpfs of its own: no file of anybody else, no disk
    processes: bool  # a pid namespace of its own: no pid of anybody else


EVERYTHING_CONTAINED = Contained(True, True, True, True, True)


def contained(plan: Plan) -> Contained:
    """Return what the other layers of a plan keep inside the run."""
    own_tree, own_pids, abi = (
        "mount" in plan.host.namespaces,
        "pid" in plan.host.namespaces,
        plan.host.landlock_abi,
    )
    return Contained(
        signals=own_pids or plan.host.own_uids or abi >= 6,
        metadata=own_tree or plan.host.own_uids,
        # Not an own uid: a file that everybody may write is nobody's to shorten.
        lengths=own_tree or abi >= 3,
        files=own_tree,
        processes=own_pids,
    )


def _plain(names: str) -> Tuple[_Entry, ...]:
    return tuple((name, ()) for name in names.split())


def _one_of(argument: int, *values: int) -> Check:
    return Check(argument, 32, _ALL, values)


# mmap: private, or shared and of a file. Pages of a shared mapping without a file belong to a file in memory that no
# limit counts, and stay when mremap shrinks the mapping. Nor MAP_DROPPABLE, nor MAP_HUGETLB: the pool is the host's.
_MAP_SHARED, _MAP_PRIVATE, _MAP_TYPE, _MAP_ANONYMOUS, _MAP_HUGETLB = 1, 2, 0x0F, 0x20, 0x40000
_MMAP = Check(
    3,
    32,
    _MAP_TYPE | _MAP_ANONYMOUS | _MAP_HUGETLB,
    (_MAP_SHARED, _MAP_PRIVATE, _MAP_PRIVATE | _MAP_ANONYMOUS),
)
_MREMAP = Check(3, 64, _ALL64, (0, 1, 3))  # MAYMOVE and FIXED; not DONTUNMAP, which leaves a second mapping behind

# madvise: what allocators and the C library say of their own pages. Not MERGEABLE: that a write to a page takes longer
# would tell which pages others have. Not COLD and PAGEOUT: pages of libraries are everybody's.
_MADVISE = _one_of(2, 0, 1, 2, 3, 4, 8, 10, 11, 14, 15, 16, 17, 18, 19, 22, 23, 102, 103)

# fcntl: duplicating and flags. Not F_SETOWN and F_SETSIG: they send any signal to any process of the uid. Nor, for
# public scripts, locks: on a file that all runs can read they would be a sign from one run to another. Not
# F_SETPIPE_SZ: a pipe holds 64 KiB, in memory that nobody counts.
_FCNTL_COMMANDS = (0, 1, 2, 3, 4, 1030, 1032, 1034)
_SETLK, _OFD_SETLK, _GETLK, _OFD_GETLK = 6, 37, 5, 36
# ioctl: TCGETS (isatty), TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX. Not TIOCSTI (CVE-2017-5226).
_IOCTL = _one_of(1, 0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
# Pid 0 is the caller itself. Whoever may ask about any other learns which processes there are.
_SELF = _one_of(0, 0)
_READ_LIMIT = Check(2, 64, _ALL64, (0,))  # no new value

# open: __O_TMPFILE alone (an unnamed file escapes every count of the directory) is refused, and O_TRUNC on a file
# opened for reading: before ABI 3 Landlock takes the right to read for enough. On a disk O_SYNC and O_DSYNC as well:
# each write would wait for the disk, and everybody else's with it.
_O_TMPFILE, _O_ACCMODE, _O_TRUNC, _O_SYNC = 0o20000000, 0o3, 0o1000, 0o4010000
_OPEN_MASK = _O_TMPFILE | _O_ACCMODE | _O_TRUNC
_OPEN_VALUES = (0, 1, 2, 3, _O_TRUNC | 1, _O_TRUNC | 2)

# futex: wait, wake and requeue, by which the C library locks; no inheritance of priority (CVE-2014-3153,
# CVE-2021-3347). For public scripts, each a single process, with FUTEX_PRIVATE_FLAG only: one on a page of a file that
# all runs can read is known by the file, and would be a sign from one run to another.
_FUTEX_PRIVATE, _FUTEX_CLOCK_REALTIME = 128, 256
_FUTEX_COMMANDS = (0, 1, 3, 4, 5, 9, 10)
_FUTEX = Check(1, 32, _ALL & ~_FUTEX_CLOCK_REALTIME, tuple(_FUTEX_PRIVATE | command for command in _FUTEX_COMMANDS))
_FUTEX_AND_SHARED = Check(1, 32, _ALL & ~(_FUTEX_CLOCK_REALTIME | _FUTEX_PRIVATE), _FUTEX_COMMANDS)

_CLONE_FORBIDDEN = 0x7E028000 | 0x80  # CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET,TIME}, CLONE_PARENT
_CLONE_FILES, _CLONE_THREAD = 0x400, 0x10000
# Nor a thread with descriptors of its own: what pipes hold is bounded by the number of processes.
_NO_NAMESPACE = Check(
    0, 64, _CLONE_FORBIDDEN | _CLONE_FILES | _CLONE_THREAD, (0, _CLONE_FILES, _CLONE_FILES | _CLONE_THREAD)
)
_NAMES = _one_of(0, 15, 16)  # PR_SET_NAME, PR_GET_NAME

# Sockets: a pair of streams, and no flag. MSG_OOB on such a pair was a way into the kernel from exactly such a filter
# (CVE-2025-38236).
_AF_UNIX, _SOCK_STREAM, _SOCK_FLAGS = 1, 1, 0o2004000
_STREAM_PAIR = (_one_of(0, _AF_UNIX), Check(1, 32, _ALL & ~_SOCK_FLAGS, (_SOCK_STREAM,)))
_NO_FLAG = _one_of(3, 0)
_NO_ADDRESS = Check(4, 64, _ALL64, (0,))


def _opening(mask: int) -> Tuple[_Entry, ...]:
    return (("open", (Check(1, 32, mask, _OPEN_VALUES),)), ("openat", (Check(2, 32, mask, _OPEN_VALUES),)))


def _fcntl(*more: int) -> Tuple[_Entry, ...]:
    return (("fcntl", (_one_of(1, *(_FCNTL_COMMANDS + more)),)),)


PUBLIC: Tuple[Group, ...] = (
    Group(
        "memory of the process itself, all of it counted by RLIMIT_AS but for the tables of its pages",
        _plain("brk munmap mprotect") + (("mmap", (_MMAP,)), ("mremap", (_MREMAP,)), ("madvise", (_MADVISE,))),
    ),
    Group(
        "open descriptors: streams, the script's files, libraries being loaded; RLIMIT_FSIZE bounds what they write",
        _plain("read write writev pread64 lseek close fstat ftruncate getdents64 dup dup2 dup3")
        + _fcntl()
        + (("ioctl", (_IOCTL,)),),
    ),
    Group(
        "files by name, under the rules of Landlock and of the mount tree",
        _opening(_OPEN_MASK),
    ),
    Group(
        "looking up names, at which Landlock doesn't look: without a tree any name, with its size and times",
        _plain("stat lstat newfstatat statx access faccessat readlink readlinkat getcwd"),
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
    Group(
        "record locks that nobody waits for, without which databases don't work; held no longer than a descriptor",
        _fcntl(_SETLK, _OFD_SETLK),
    ),
    Group("locks that processes share, the end of threads", (("futex", (_FUTEX_AND_SHARED,)),)),
    Group(
        "starting and awaiting processes, at most as many as RLIMIT_NPROC or the watch allow",
        _plain(
            "fork vfork execve wait4 waitid close_range set_tid_address set_robust_list rseq arch_prctl getppid getpgrp"
        )
        + (("clone", (_NO_NAMESPACE,)), ("prctl", (_NAMES,))),
    ),
    Group(
        "pipes and events between those processes, as many as RLIMIT_NOFILE allows; a pipe holds 64 KiB",
        _plain("pipe pipe2 eventfd2 epoll_create1 epoll_ctl epoll_wait epoll_pwait"),
    ),
    Group(
        "a connected pair for event loops, which holds 400 KiB; no call that could name an address",
        (("socketpair", _STREAM_PAIR), ("sendto", (_NO_FLAG, _NO_ADDRESS)), ("recvfrom", (_NO_FLAG,)))
        + _plain("getsockname"),
    ),
    Group(
        "the whole of a file system interface, under the rules of Landlock and of the mount tree, or by a descriptor",
        # renameat2: NOREPLACE and EXCHANGE, no WHITEOUT, which makes a device.
        _plain(
            "mkdir mkdirat rmdir unlink unlinkat rename renameat link linkat symlink symlinkat umask readv preadv"
            " pwritev pwrite64 sendfile copy_file_range"
        )
        + (("renameat2", (_one_of(4, 0, 1, 2),)),),
    ),
    Group(
        # Other modes take space past the file's end, where RLIMIT_FSIZE does not look, or move what lies behind.
        "space for a file, up to its end and so to RLIMIT_FSIZE: mode 0 alone",
        (("fallocate", (_one_of(1, 0),)),),
    ),
    Group(
        "names and file systems, at which Landlock doesn't look: no more is learned than by stat",
        _plain("chdir fchdir faccessat2 statfs fstatfs"),
    ),
    Group(
        "what programs ask about themselves",
        _plain("getgid getegid getgroups getresuid getresgid sysinfo times alarm setitimer getitimer time pause")
        + _plain("rt_sigtimedwait rt_sigsuspend rt_sigpending getcpu")
        + (
            (
                "getpriority",
                (_one_of(0, 0, 1), _one_of(1, 0)),
            ),  # of itself or its group, not of all its uid's processes
            ("sched_getparam", (_SELF,)),
            ("sched_getscheduler", (_SELF,)),
        ),
    ),
)

# Landlock doesn't look at them, by name or by descriptor: only where the mount tree or the own uid keeps them to the
# run's own files. Owners stay as they are: there is nobody to give a file to.
_METADATA = "fchmod fchmodat fchmodat2 chmod utime utimes futimesat utimensat"
ADMIN_METADATA = Group("modes and times of files", _plain(_METADATA))
# Landlock looks at it since ABI 3.
ADMIN_LENGTHS = Group("lengths of files by name", _plain("truncate"))
# Landlock doesn't look at them: without a tree they would show what others have written there.
_READ_ATTRIBUTES = "getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr"
ADMIN_ATTRIBUTES = Group("extended attributes, read", _plain(_READ_ATTRIBUTES))
# It tells the holder's pid.
ADMIN_LOCK_HOLDERS = Group("asking who holds a lock", _fcntl(_SETLK, _OFD_SETLK, _GETLK, _OFD_GETLK))
# Sent on only where the pid namespace, the own uid or Landlock's signal scope keeps them inside the run.
ADMIN_SIGNALS = Group("signals to the run's own processes", _plain("kill tkill tgkill"))

ON_A_DISK = Group("files by name, none of whose writes waits for the disk", _opening(_OPEN_MASK | _O_SYNC))

# Nothing of a run outlives it, so that there is nothing to bring to a disk in safety, and a loop of these would keep a
# shared disk from everybody. Advice about the page cache is about pages that all runs share.
_DONE_ALREADY = "fsync fdatasync msync sync_file_range fadvise64"
# Callers have a fall-back for these and use it on ENOSYS; EPERM would be taken as final. A lock by flock may be waited
# for, which a record lock may not.
_ABSENT = "clone3 openat2 faccessat2 rseq set_robust_list memfd_create close_range statx fchmodat2 flock"
_WRITE_ATTRIBUTES = "setxattr lsetxattr fsetxattr removexattr lremovexattr fremovexattr"


def groups(admin: bool, contained: Contained) -> Tuple[Group, ...]:
    """Return the groups allowed to public or to admin scripts."""
    found = PUBLIC + ((ON_A_DISK,) if not contained.files else ())
    if not admin:
        return found
    found += ADMIN
    for needed, group in (
        (contained.processes, ADMIN_LOCK_HOLDERS),
        (contained.signals, ADMIN_SIGNALS),
        (contained.metadata, ADMIN_METADATA),
        (contained.lengths, ADMIN_LENGTHS),
        (contained.files, ADMIN_ATTRIBUTES),
    ):
        found += (group,) if needed else ()
    return found


def answered(admin: bool, contained: Contained) -> Dict[str, int]:
    """Return call name → errno for the calls that, where they aren't allowed, fail otherwise than with EPERM.

    Errno 0 stands for success: the caller is told that it is done.
    """
    found = dict.fromkeys(_ABSENT.split(), errno.ENOSYS)
    found.update(dict.fromkeys((_WRITE_ATTRIBUTES + " " + _READ_ATTRIBUTES).split(), errno.ENOTSUP))
    found.update(dict.fromkeys(_DONE_ALREADY.split(), 0))
    if admin and not contained.metadata:
        # What copies a file or unpacks an archive sets modes and times, and should go on.
        found.update(dict.fromkeys(_METADATA.split(), 0))
    return found
