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
from typing import NamedTuple

from pyexec.job import Host
from pyexec.kernel import arguments
from pyexec.kernel.arguments import SELF, Entry, one_of, plain


class Group(NamedTuple):
    """Calls that are allowed for one reason. Where a call is in two groups, the later group's checks apply."""

    reason: str
    calls: tuple[Entry, ...]


class Contained(NamedTuple):
    """What other layers keep inside the run, so that the filter can let it through."""

    signals: bool
    metadata: bool  # modes and times of files
    lengths: bool  # truncating files by name
    files: bool  # the run has its own tree and tmpfs: nobody else's file, no disk
    processes: bool  # the run has its own pid namespace: nobody else's pid
    deletion: bool  # a file system with a size of its own bounds what is deleted and still open


EVERYTHING_CONTAINED = Contained(True, True, True, True, True, True)


def contained(host: Host) -> Contained:
    """Return what the other layers of a host keep inside the run."""
    own_tree, own_pids = "mount" in host.namespaces, "pid" in host.namespaces
    return Contained(
        signals=own_pids or host.own_uids or host.landlock_abi >= 6,
        metadata=own_tree or host.own_uids,
        # A uid of its own doesn't help here: it doesn't keep a run from files that everybody may write.
        lengths=own_tree or host.landlock_abi >= 3,
        files=own_tree,
        processes=own_pids,
        deletion=own_tree or host.tmpfs_bytes > 0,
    )


PUBLIC: tuple[Group, ...] = (
    Group(
        "the process's own memory, counted by RLIMIT_AS except for its page tables, which the watch counts",
        plain("brk munmap mprotect")
        + (
            ("mmap", (arguments.MMAP,)),
            ("mremap", (arguments.MREMAP,)),
            ("madvise", (arguments.MADVISE,)),
        ),
    ),
    Group(
        "open descriptors: streams, the script's files, libraries as they load; RLIMIT_FSIZE bounds what is written",
        plain("read write writev pread64 pwrite64 lseek close fstat ftruncate getdents64 dup dup2 dup3")
        + (("ioctl", (arguments.IOCTL,)),),
    ),
    Group(
        # On a file that two runs can read, such a lock is a signal between them if both want one; see SECURITY.md.
        "the state of descriptors, and record locks that fail instead of waiting, which databases need",
        (("fcntl", (arguments.FCNTL,)),),
    ),
    Group(
        "files by name, under the rules of Landlock and of the mount tree",
        arguments.opening(on_a_disk=False),
    ),
    Group(
        "directories and symbolic links, made under the same rules, each one counted as a file",
        plain("mkdir mkdirat symlink symlinkat umask"),
    ),
    Group(
        "looking up names, which Landlock doesn't see: without a tree, any name on the host, with its size and times",
        plain("stat lstat newfstatat statx access faccessat readlink readlinkat getcwd chdir fchdir"),
    ),
    Group("how full the run's directory is, which without a tree tells how full its disk is", plain("statfs fstatfs")),
    Group("clocks and sleeping", plain("clock_gettime clock_getres gettimeofday clock_nanosleep nanosleep")),
    Group("waiting for input; sleeping, before Python 3.11", plain("select pselect6 poll ppoll")),
    Group(
        "the process's own signal handlers, and the timer by which a report of a failure interrupts a slow repr",
        plain("rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack") + (("setitimer", (one_of(0, 0),)),),
    ),
    Group(
        "the interpreter's locks",
        (("futex", (arguments.FUTEX,)),) + plain("sched_yield restart_syscall"),
    ),
    Group(
        # glibc (2.35 and later) registers rseq for each thread, and aborts if only the first one's succeeded.
        "threads, as many as RLIMIT_NPROC or the watch allows, and no process",
        (("clone", (arguments.THREAD,)),) + plain("rseq"),
    ),
    Group(
        "a connected pair for event loops, which holds 400 KiB; no call here can name an address",
        (
            ("socketpair", arguments.STREAM_PAIR),
            ("sendto", (arguments.NO_FLAG, arguments.NO_ADDRESS)),
            ("recvfrom", (arguments.NO_FLAG,)),
        )
        + plain("getsockname"),
    ),
    Group(
        # Of 256 descriptors, pipes hold a third of what pairs do. F_SETPIPE_SZ, splice and tee stay refused.
        "pipes between threads, each of 64 KiB, which libraries wake their threads by (pyarrow's readers)",
        (("pipe", ()), ("pipe2", (arguments.PIPE,))),
    ),
    Group(
        # Landlock has no part in it: nothing is opened by name. What it takes: a descriptor each, which RLIMIT_NOFILE
        # counts; an eventfd holds a number; watches are memory that only fs.epoll.max_user_watches counts, by uid, with
        # a twenty-fifth of the host's memory by default. So their number is bounded by argument, see SECURITY.md.
        "events between threads, without which libraries with a runtime of their own don't start (polars)",
        plain("epoll_create1 epoll_wait epoll_pwait eventfd2") + (("epoll_ctl", (arguments.EPOLL_WATCH,)),),
    ),
    Group("random numbers", plain("getrandom")),
    Group(
        "what the process may know about itself",
        plain("getpid gettid getuid geteuid uname getrusage")
        + (("prlimit64", (SELF, arguments.READ_LIMIT)), ("sched_getaffinity", (SELF,))),
    ),
    Group("the end", plain("exit exit_group")),
)

ADMIN: tuple[Group, ...] = (
    Group("locks shared by processes", (("futex", (arguments.FUTEX_AND_SHARED,)),)),
    Group(
        "starting and awaiting processes and threads, as many as RLIMIT_NPROC or the watch allows",
        plain("fork vfork execve wait4 waitid close_range set_tid_address set_robust_list arch_prctl getppid getpgrp")
        + (("clone", (arguments.NO_NAMESPACE,)), ("prctl", (arguments.NAMES,))),
    ),
    Group(
        # Of every descriptor, as the event loops of servers and of other languages need it.
        "events between them, as many as RLIMIT_NOFILE allows",
        plain("epoll_ctl"),
    ),
    Group(
        "the rest of the file interface, by descriptor, or by name under the rules of Landlock and of the mount tree",
        plain("readv preadv pwritev copy_file_range creat"),
    ),
    Group(
        # KEEP_SIZE takes space past the end of a file, where RLIMIT_FSIZE doesn't look; the other modes build on it.
        "space for a file, in mode 0 only, which grows the file and so meets RLIMIT_FSIZE",
        (("fallocate", (one_of(1, 0),)),),
    ),
    Group("looking up names once more, as newer programs do", plain("faccessat2")),
    Group("lowering the process's own limits, which no process here may raise", (("prlimit64", (SELF,)),)),
    Group(
        "what programs ask about themselves",
        plain("getgid getegid getgroups getresuid getresgid sysinfo times alarm setitimer getitimer time pause")
        + plain("rt_sigtimedwait rt_sigsuspend rt_sigpending getcpu")
        + (
            # Of the caller or its group; PRIO_USER would be about all of its uid's processes.
            ("getpriority", (one_of(0, 0, 1), one_of(1, 0))),
            ("getpgid", (SELF,)),  # what getpgrp is made of on arm64
            ("sched_getparam", (SELF,)),
            ("sched_getscheduler", (SELF,)),
        ),
    ),
)

# What has no name any more counts nowhere on a disk while it is open or mapped: public scripts may delete and replace
# only where a tmpfs with a size bounds it, their own or the one that all runs' directories lie on. Admins may
# everywhere.
REPLACING = Group(
    "deleting, replacing and linking files, under the rules of Landlock and of the mount tree",
    plain("rmdir unlink unlinkat rename renameat link linkat") + (("renameat2", (arguments.RENAME,)),),
)
RENAMING = Group("renaming where it replaces nothing", (("renameat2", (arguments.RENAME_TO_A_FREE_NAME,)),))
# Landlock sees none of these, by name or by descriptor: they are allowed only where the mount tree or the run's own uid
# keeps them to its own files. Owners stay as they are: there is nobody to give a file to.
_METADATA = "fchmod fchmodat fchmodat2 chmod utime utimes futimesat utimensat"
METADATA = Group("modes and times of files", plain(_METADATA))
# Landlock sees it from ABI 3 on.
LENGTHS = Group("lengths of files by name", plain("truncate"))
# Where every pid is the run's own.
LOCK_HOLDERS = Group("who holds a record lock", (("fcntl", (arguments.FCNTL_AND_HOLDERS,)),))
# Landlock doesn't see them: without a tree they would show what others have written there.
_READ_ATTRIBUTES = "getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr"
ADMIN_ATTRIBUTES = Group("reading extended attributes", plain(_READ_ATTRIBUTES))
# Only where the pid namespace, the run's own uid or Landlock's signal scope (ABI 6) keeps them inside the run.
ADMIN_SIGNALS = Group("signals to the run's own processes", plain("kill tkill tgkill"))

ON_A_DISK = Group("files by name, so that no write waits for the disk", arguments.opening(on_a_disk=True))

# Answered with success and not carried out. Nothing of a run outlives it, so there is nothing to bring safely to disk,
# and a loop of these would stall a shared disk. fadvise64 advises about page cache that all runs share.
_DONE_ALREADY = "fsync fdatasync msync sync_file_range fadvise64"
# Callers have a fallback for these and use it on ENOSYS; EPERM they would take as final. flock can wait for a lock, and
# pwritev2 for a disk.
_ABSENT = "clone3 openat2 faccessat2 set_robust_list memfd_create close_range fchmodat2 flock preadv2 pwritev2"
_WRITE_ATTRIBUTES = "setxattr lsetxattr fsetxattr removexattr lremovexattr fremovexattr"


# Python copies files by these, and goes on to the next way for the errno of the way before only (`pathlib` from 3.14).
# sendfile puts pages of files into pipes and sockets, where, once the file is cut off, no limit counts them: of each
# page, one byte. Programs do without it on ENOSYS.
_PUBLIC_COPIES = {"copy_file_range": errno.EXDEV, "sendfile": errno.ENOTSOCK}
_ADMIN_COPIES = {"sendfile": errno.ENOSYS}
# Arguments of allowed calls that get another answer than EPERM, too: FICLONE.
EXCUSES = {"ioctl": ((one_of(1, 0x40049409), errno.EOPNOTSUPP),)}

# Of these the kernel asks no filter on x86-64: uretprobe since Linux 6.11, uprobe since 6.18. Made by a process that
# nobody probes, or from elsewhere than the trampoline that the kernel maps for them, they fail or end it by SIGILL.
PAST_EVERY_FILTER = {"uretprobe": 335, "uprobe": 336}


def groups(admin: bool, contained: Contained) -> tuple[Group, ...]:
    """Return the groups of calls that public or admin scripts may make."""
    found = PUBLIC if contained.files else (*PUBLIC, ON_A_DISK)
    found += (REPLACING,) if admin or contained.deletion else (RENAMING,)
    found += ADMIN if admin else ()
    for needed, group in (
        (contained.processes, LOCK_HOLDERS),
        (contained.metadata, METADATA),
        (contained.lengths, LENGTHS),
        (admin and contained.signals, ADMIN_SIGNALS),
        (admin and contained.files, ADMIN_ATTRIBUTES),
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
    found.update(_ADMIN_COPIES if admin else _PUBLIC_COPIES)
    if not contained.metadata:
        # Programs that copy files or unpack archives set modes and times, and would give up.
        found.update(dict.fromkeys(_METADATA.split(), 0))
    return found
