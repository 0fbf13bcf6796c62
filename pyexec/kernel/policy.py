"""What the system call filter lets through: named groups of calls, each with its reason. Data only; runs nowhere.

Public scripts get `PUBLIC`. Admin scripts get `ADMIN` on top, since they may start processes. Every other call fails.
No call here opens a connection, makes a namespace or a mount, or reaches another process (an admin's signals excepted,
where another layer keeps them inside the run). Of each call two things were asked: does Landlock see it, and does a
limit count what it takes? Where the answer is no, the group's reason says what bounds it instead, or an argument is
checked, or the call is answered without being carried out, or it is allowed only where another layer contains it.
SECURITY.md sums up what remains.
"""

from __future__ import annotations

import errno
from typing import NamedTuple, Tuple

from pyexec.job import Plan
from pyexec.kernel.bpf import Check

_ALL = 0xFFFFFFFF
_ALL64 = 2**64 - 1
_Entry = Tuple[str, Tuple[Check, ...]]  # a call and its checks


class Group(NamedTuple):
    """Calls that are allowed for one reason. Where a call is in two groups, the later group's checks apply."""

    reason: str
    calls: tuple[_Entry, ...]


class Contained(NamedTuple):
    """What other layers keep inside the run, so that the filter can let it through."""

    signals: bool
    metadata: bool  # modes and times of files
    lengths: bool  # truncating files by name
    files: bool  # the run has its own tree and tmpfs: nobody else's file, no disk
    processes: bool  # the run has its own pid namespace: nobody else's pid


EVERYTHING_CONTAINED = Contained(True, True, True, True, True)


def contained(plan: Plan) -> Contained:
    """Return what the other layers of a plan keep inside the run."""
    own_tree, own_pids = "mount" in plan.host.namespaces, "pid" in plan.host.namespaces
    abi = plan.host.landlock_abi
    return Contained(
        signals=own_pids or plan.host.own_uids or abi >= 6,
        metadata=own_tree or plan.host.own_uids,
        # A uid of its own doesn't help here: it doesn't keep a run from files that everybody may write.
        lengths=own_tree or abi >= 3,
        files=own_tree,
        processes=own_pids,
    )


def _plain(names: str) -> tuple[_Entry, ...]:
    return tuple((name, ()) for name in names.split())


def _one_of(argument: int, *values: int) -> Check:
    return Check(argument, 32, _ALL, values)


# mmap: private, or shared with a file behind it. The pages of a shared mapping without a file belong to a hidden tmpfs
# file: no limit counts them, and they survive shrinking the mapping with mremap. No MAP_DROPPABLE (Linux 6.11), which
# no limit counts either, and no MAP_HUGETLB: that pool belongs to the host.
_MAP_SHARED, _MAP_PRIVATE, _MAP_TYPE, _MAP_ANONYMOUS, _MAP_HUGETLB = 1, 2, 0x0F, 0x20, 0x40000
_MMAP = Check(
    3,
    64,
    (_ALL64 ^ _ALL) | _MAP_TYPE | _MAP_ANONYMOUS | _MAP_HUGETLB,
    (_MAP_SHARED, _MAP_PRIVATE, _MAP_PRIVATE | _MAP_ANONYMOUS),
)
_MREMAP = Check(3, 64, _ALL64, (0, 1, 3))  # MAYMOVE and FIXED; DONTUNMAP would leave the old mapping in place

# madvise: what allocators and the C library say of their own pages. No MERGEABLE: a slow write to a merged page tells
# which pages others have. No COLD or PAGEOUT: pages of libraries are shared by everybody.
_MADVISE = _one_of(2, 0, 1, 2, 3, 4, 8, 10, 11, 14, 15, 16, 17, 18, 19, 22, 23, 102, 103)

# fcntl: F_DUPFD(_CLOEXEC), F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETPIPE_SZ, F_GET_SEALS. No F_SETOWN and F_SETSIG,
# which send any signal to any process of the uid. No locks for public scripts: on a file that all runs can read, one
# run would see another's. No F_SETPIPE_SZ: 64 KiB a pipe is enough of memory that no limit counts.
_FCNTL_COMMANDS = (0, 1, 2, 3, 4, 1030, 1032, 1034)
_SETLK, _OFD_SETLK, _GETLK, _OFD_GETLK = 6, 37, 5, 36
# ioctl: TCGETS (isatty), TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX. No TIOCSTI (CVE-2017-5226).
_IOCTL = _one_of(1, 0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
# Pid 0 is the caller. Asking about any other pid tells which processes exist.
_SELF = _one_of(0, 0)
_READ_LIMIT = Check(2, 64, _ALL64, (0,))  # the pointer to new values is null

# open: refused are
# - __O_TMPFILE: a file without a name escapes every count of the run's directory;
# - O_TRUNC on a file opened for reading: below ABI 3 the right to read is all that Landlock asks for;
# - access mode 3, neither reading nor writing: Landlock asks for no right then, and a device's driver runs;
# - on a disk, O_SYNC and O_DSYNC: every write would wait for the disk, and everybody else's with it.
_O_TMPFILE, _O_ACCMODE, _O_TRUNC, _O_SYNC = 0o20000000, 0o3, 0o1000, 0o4010000
_OPEN_MASK = _O_TMPFILE | _O_ACCMODE | _O_TRUNC
_OPEN_VALUES = (0, 1, 2, _O_TRUNC | 1, _O_TRUNC | 2)

# futex: wait, wake and requeue, which the C library's locks are made of; no priority inheritance (CVE-2014-3153,
# CVE-2021-3347). Public scripts, each a single process, get them with FUTEX_PRIVATE_FLAG only: without it, a futex on a
# page of a file that all runs can read is one and the same in all of them, and a signal between runs.
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

# Sockets: a connected pair of streams, used without flags. MSG_OOB on such a pair was a kernel exploit from behind a
# filter much like this one (CVE-2025-38236).
_AF_UNIX, _SOCK_STREAM, _SOCK_FLAGS = 1, 1, 0o2004000
_STREAM_PAIR = (_one_of(0, _AF_UNIX), Check(1, 32, _ALL & ~_SOCK_FLAGS, (_SOCK_STREAM,)))
_NO_FLAG = _one_of(3, 0)
_NO_ADDRESS = Check(4, 64, _ALL64, (0,))


def _opening(mask: int) -> tuple[_Entry, ...]:
    return (("open", (Check(1, 32, mask, _OPEN_VALUES),)), ("openat", (Check(2, 32, mask, _OPEN_VALUES),)))


def _fcntl(*more: int) -> tuple[_Entry, ...]:
    return (("fcntl", (_one_of(1, *(_FCNTL_COMMANDS + more)),)),)


PUBLIC: tuple[Group, ...] = (
    Group(
        "the process's own memory, counted by RLIMIT_AS except for its page tables, which the watch counts",
        _plain("brk munmap mprotect") + (("mmap", (_MMAP,)), ("mremap", (_MREMAP,)), ("madvise", (_MADVISE,))),
    ),
    Group(
        "open descriptors: streams, the script's files, libraries as they load; RLIMIT_FSIZE bounds what is written",
        _plain("read write writev pread64 lseek close fstat ftruncate getdents64 dup dup2 dup3")
        + _fcntl()
        + (("ioctl", (_IOCTL,)),),
    ),
    Group(
        "files by name, under the rules of Landlock and of the mount tree",
        _opening(_OPEN_MASK),
    ),
    Group(
        "looking up names, which Landlock doesn't see: without a tree, any name on the host, with its size and times",
        _plain("stat lstat newfstatat statx access faccessat readlink readlinkat getcwd"),
    ),
    Group("clocks and sleeping", _plain("clock_gettime clock_getres gettimeofday clock_nanosleep nanosleep")),
    Group("waiting for input; sleeping, before Python 3.11", _plain("select pselect6 poll ppoll")),
    Group(
        "the process's own signal handlers, and the timer by which a report of a failure interrupts a slow repr",
        _plain("rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack") + (("setitimer", (_one_of(0, 0),)),),
    ),
    Group(
        "the interpreter's locks",
        (("futex", (_FUTEX,)),) + _plain("sched_yield restart_syscall"),
    ),
    Group("random numbers", _plain("getrandom")),
    Group(
        "what the process may know about itself",
        _plain("getpid gettid getuid geteuid uname getrusage")
        + (("prlimit64", (_SELF, _READ_LIMIT)), ("sched_getaffinity", (_SELF,))),
    ),
    Group("the end", _plain("exit exit_group")),
)

ADMIN: tuple[Group, ...] = (
    Group(
        "record locks that fail instead of waiting, which databases need; gone with the process",
        _fcntl(_SETLK, _OFD_SETLK),
    ),
    Group("locks shared by processes, and joining threads", (("futex", (_FUTEX_AND_SHARED,)),)),
    Group(
        "starting and awaiting processes and threads, as many as RLIMIT_NPROC or the watch allows",
        _plain(
            "fork vfork execve wait4 waitid close_range set_tid_address set_robust_list rseq arch_prctl getppid getpgrp"
        )
        + (("clone", (_NO_NAMESPACE,)), ("prctl", (_NAMES,))),
    ),
    Group(
        "pipes and events between them, as many as RLIMIT_NOFILE allows; a pipe holds 64 KiB",
        _plain("pipe pipe2 eventfd2 epoll_create1 epoll_ctl epoll_wait epoll_pwait"),
    ),
    Group(
        "a connected pair for event loops, which holds 400 KiB; no call here can name an address",
        (("socketpair", _STREAM_PAIR), ("sendto", (_NO_FLAG, _NO_ADDRESS)), ("recvfrom", (_NO_FLAG,)))
        + _plain("getsockname"),
    ),
    Group(
        "the rest of the file interface, by name under the rules of Landlock and of the mount tree, or by descriptor",
        # renameat2: NOREPLACE and EXCHANGE; WHITEOUT would make a device.
        _plain(
            "mkdir mkdirat rmdir unlink unlinkat rename renameat link linkat symlink symlinkat umask readv preadv"
            " pwritev pwrite64 sendfile copy_file_range"
        )
        + (("renameat2", (_one_of(4, 0, 1, 2),)),),
    ),
    Group(
        # KEEP_SIZE takes space past the end of a file, where RLIMIT_FSIZE doesn't look; the other modes build on it.
        "space for a file, in mode 0 only, which grows the file and so meets RLIMIT_FSIZE",
        (("fallocate", (_one_of(1, 0),)),),
    ),
    Group(
        "names and file systems, which Landlock doesn't see: they tell what stat tells, and how full a disk is",
        _plain("chdir fchdir faccessat2 statfs fstatfs"),
    ),
    Group(
        "what programs ask about themselves",
        _plain("getgid getegid getgroups getresuid getresgid sysinfo times alarm setitimer getitimer time pause")
        + _plain("rt_sigtimedwait rt_sigsuspend rt_sigpending getcpu")
        + (
            # Of the caller or its group; PRIO_USER would be about all of its uid's processes.
            ("getpriority", (_one_of(0, 0, 1), _one_of(1, 0))),
            ("getpgid", (_SELF,)),  # what getpgrp is made of on arm64
            ("sched_getparam", (_SELF,)),
            ("sched_getscheduler", (_SELF,)),
        ),
    ),
)

# Landlock sees none of these, by name or by descriptor: they are allowed only where the mount tree or the run's own uid
# keeps them to its own files. Owners stay as they are: there is nobody to give a file to.
_METADATA = "fchmod fchmodat fchmodat2 chmod utime utimes futimesat utimensat"
ADMIN_METADATA = Group("modes and times of files", _plain(_METADATA))
# Landlock sees it from ABI 3 on.
ADMIN_LENGTHS = Group("lengths of files by name", _plain("truncate"))
# Landlock doesn't see them: without a tree they would show what others have written there.
_READ_ATTRIBUTES = "getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr"
ADMIN_ATTRIBUTES = Group("reading extended attributes", _plain(_READ_ATTRIBUTES))
# The answer has the holder's pid.
ADMIN_LOCK_HOLDERS = Group("who holds a record lock", _fcntl(_SETLK, _OFD_SETLK, _GETLK, _OFD_GETLK))
# Only where the pid namespace, the run's own uid or Landlock's signal scope (ABI 6) keeps them inside the run.
ADMIN_SIGNALS = Group("signals to the run's own processes", _plain("kill tkill tgkill"))

ON_A_DISK = Group("files by name, so that no write waits for the disk", _opening(_OPEN_MASK | _O_SYNC))

# Answered with success and not carried out. Nothing of a run outlives it, so there is nothing to bring safely to disk,
# and a loop of these would stall a shared disk. fadvise64 advises about page cache that all runs share.
_DONE_ALREADY = "fsync fdatasync msync sync_file_range fadvise64"
# Callers have a fallback for these and use it on ENOSYS; EPERM they would take as final. flock can wait for a lock, and
# pwritev2 for a disk.
_ABSENT = (
    "clone3 openat2 faccessat2 rseq set_robust_list memfd_create close_range statx fchmodat2 flock preadv2 pwritev2"
)
_WRITE_ATTRIBUTES = "setxattr lsetxattr fsetxattr removexattr lremovexattr fremovexattr"


def groups(admin: bool, contained: Contained) -> tuple[Group, ...]:
    """Return the groups of calls that public or admin scripts may make."""
    found = PUBLIC if contained.files else (*PUBLIC, ON_A_DISK)
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


def answered(admin: bool, contained: Contained) -> dict[str, int]:
    """Return call name → errno for calls that get another answer than EPERM where they aren't allowed.

    Errno 0 stands for success: the caller is told that the call was carried out.
    """
    found = dict.fromkeys(_ABSENT.split(), errno.ENOSYS)
    found.update(dict.fromkeys((_WRITE_ATTRIBUTES + " " + _READ_ATTRIBUTES).split(), errno.ENOTSUP))
    found.update(dict.fromkeys(_DONE_ALREADY.split(), 0))
    if admin and not contained.metadata:
        # Programs that copy files or unpack archives set modes and times, and would give up.
        found.update(dict.fromkeys(_METADATA.split(), 0))
    return found
