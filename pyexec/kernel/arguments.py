"""Which arguments the system call filter lets through, each check with its reason. Data only; runs nowhere.

A check sees the bits of an argument, never what it points to. `policy` says which calls have which check.
"""

from __future__ import annotations

from typing import Tuple

from pyexec.kernel.bpf import Check

Entry = Tuple[str, Tuple[Check, ...]]  # a call and its checks

_ALL = 0xFFFFFFFF
_ALL64 = 2**64 - 1


def plain(names: str) -> tuple[Entry, ...]:
    """Return calls that may have any argument."""
    return tuple((name, ()) for name in names.split())


def one_of(argument: int, *values: int) -> Check:
    """Return the check that a C int is one of these values."""
    return Check(argument, 32, _ALL, values)


# mmap: private, or shared with a file behind it. The pages of a shared mapping without a file belong to a hidden tmpfs
# file: no limit counts them, and they survive shrinking the mapping with mremap. No MAP_DROPPABLE (Linux 6.11), which
# no limit counts either, and no MAP_HUGETLB: that pool belongs to the host.
_MAP_SHARED, _MAP_PRIVATE, _MAP_TYPE, _MAP_ANONYMOUS, _MAP_HUGETLB = 1, 2, 0x0F, 0x20, 0x40000
MMAP = Check(
    3,
    64,
    (_ALL64 ^ _ALL) | _MAP_TYPE | _MAP_ANONYMOUS | _MAP_HUGETLB,
    (_MAP_SHARED, _MAP_PRIVATE, _MAP_PRIVATE | _MAP_ANONYMOUS),
)
MREMAP = Check(3, 64, _ALL64, (0, 1, 3))  # MAYMOVE and FIXED; DONTUNMAP would leave the old mapping in place

# madvise: what allocators and the C library say of their own pages. No MERGEABLE: a slow write to a merged page tells
# which pages others have. No COLD or PAGEOUT: pages of libraries are shared by everybody.
MADVISE = one_of(2, 0, 1, 2, 3, 4, 8, 10, 11, 14, 15, 16, 17, 18, 19, 22, 23, 102, 103)

# fcntl: F_DUPFD(_CLOEXEC), F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETPIPE_SZ, F_GET_SEALS, and record locks that fail
# instead of waiting. No F_SETOWN and F_SETSIG, which send any signal to any process of the uid. No F_SETPIPE_SZ: 64 KiB
# a pipe is enough of memory that no limit counts. The answer of F_GETLK has the holder's pid.
_SETLK, _OFD_SETLK, _GETLK, _OFD_GETLK = 6, 37, 5, 36
_FCNTL_COMMANDS = (0, 1, 2, 3, 4, 1030, 1032, 1034, _SETLK, _OFD_SETLK)
FCNTL = one_of(1, *_FCNTL_COMMANDS)
FCNTL_AND_HOLDERS = one_of(1, *_FCNTL_COMMANDS, _GETLK, _OFD_GETLK)
# ioctl: TCGETS (isatty), TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX. No TIOCSTI (CVE-2017-5226).
IOCTL = one_of(1, 0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
# Pid 0 is the caller. Asking about any other pid tells which processes exist.
SELF = one_of(0, 0)
READ_LIMIT = Check(2, 64, _ALL64, (0,))  # the pointer to new values is null

# open: refused are
# - __O_TMPFILE: a file without a name escapes every count of the run's directory;
# - O_TRUNC on a file opened for reading: below ABI 3 the right to read is all that Landlock asks for;
# - access mode 3, neither reading nor writing: Landlock asks for no right then, and a device's driver runs;
# - on a disk, O_SYNC and O_DSYNC: every write would wait for the disk, and everybody else's with it.
_O_TMPFILE, _O_ACCMODE, _O_TRUNC, _O_SYNC = 0o20000000, 0o3, 0o1000, 0o4010000
_OPEN_MASK = _O_TMPFILE | _O_ACCMODE | _O_TRUNC
_OPEN_VALUES = (0, 1, 2, _O_TRUNC | 1, _O_TRUNC | 2)


def opening(on_a_disk: bool) -> tuple[Entry, ...]:
    """Return the calls that open files by name."""
    mask = _OPEN_MASK | (_O_SYNC if on_a_disk else 0)
    return (("open", (Check(1, 32, mask, _OPEN_VALUES),)), ("openat", (Check(2, 32, mask, _OPEN_VALUES),)))


# futex: wait, wake and requeue, which the C library's locks are made of; no priority inheritance (CVE-2014-3153,
# CVE-2021-3347). Public scripts, each a single process, get them with FUTEX_PRIVATE_FLAG only: without it, a futex on a
# page of a file that all runs can read is one and the same in all of them. One operation is excepted: the kernel tells
# of a thread's end without the flag, so that is how the C library waits for it.
_FUTEX_PRIVATE, _FUTEX_CLOCK_REALTIME = 128, 256
_FUTEX_COMMANDS = (0, 1, 3, 4, 5, 9, 10)
_FUTEX_JOIN = 9 | _FUTEX_CLOCK_REALTIME  # FUTEX_WAIT_BITSET
FUTEX = one_of(
    1,
    _FUTEX_JOIN,
    *(_FUTEX_PRIVATE | command for command in _FUTEX_COMMANDS),
    *(_FUTEX_PRIVATE | _FUTEX_CLOCK_REALTIME | command for command in _FUTEX_COMMANDS),
)
FUTEX_AND_SHARED = Check(1, 32, _ALL & ~(_FUTEX_CLOCK_REALTIME | _FUTEX_PRIVATE), _FUTEX_COMMANDS)

# clone for public scripts: with the flags that glibc and musl (CLONE_DETACHED beside them) give to a thread, and no
# other, which can make neither a process nor a namespace, nor a thread with descriptors or signal handlers of its own.
THREAD = Check(0, 64, _ALL64, (0x3D0F00, 0x7D0F00))
# And for admins: CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET,TIME} and CLONE_PARENT are refused, as is a thread with
# descriptors of its own: what pipes hold is bounded by the number of processes.
_CLONE_FORBIDDEN = 0x7E028000 | 0x80
_CLONE_FILES, _CLONE_THREAD = 0x400, 0x10000
NO_NAMESPACE = Check(
    0, 64, _CLONE_FORBIDDEN | _CLONE_FILES | _CLONE_THREAD, (0, _CLONE_FILES, _CLONE_FILES | _CLONE_THREAD)
)
NAMES = one_of(0, 15, 16)  # PR_SET_NAME, PR_GET_NAME

# Sockets: a connected pair of streams, used without flags. MSG_OOB on such a pair was a kernel exploit from behind a
# filter much like this one (CVE-2025-38236). Of a child's descriptors one is the server's channel: on it there is
# nothing to be had but bytes, no option (SO_PEERPIDFD would give a pidfd of the server) and no descriptor.
_AF_UNIX, _SOCK_STREAM, _SOCK_FLAGS = 1, 1, 0o2004000
STREAM_PAIR = (one_of(0, _AF_UNIX), Check(1, 32, _ALL & ~_SOCK_FLAGS, (_SOCK_STREAM,)))
NO_FLAG = one_of(3, 0)
NO_ADDRESS = Check(4, 64, _ALL64, (0,))

# pipe2: O_CLOEXEC and O_NONBLOCK. O_NOTIFICATION_PIPE, which is O_EXCL, opens the kernel's queue of watches
# (CVE-2022-0995); of O_DIRECT, packets, nobody here has need.
PIPE = Check(1, 32, _ALL & ~0o2004000, (0,))

# epoll_ctl: watched are descriptors below 32 only. A watch belongs to a file and a number, and stays while the file is
# open under any other: with every number below the limit of descriptors, a run could hold eight times as many.
EPOLL_WATCH = Check(2, 32, _ALL & ~31, (0,))

# renameat2: NOREPLACE is 1, EXCHANGE 2. WHITEOUT would make a device.
RENAME = one_of(4, 0, 1, 2)
RENAME_TO_A_FREE_NAME = one_of(4, 1)
