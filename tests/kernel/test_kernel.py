"""The confinement's pure parts: call numbers, seccomp programs over the whole call table, Landlock's masks, rlimits."""

from __future__ import annotations

import ctypes
import errno
import faulthandler
import itertools
import os
import resource
import signal
from typing import Any, List

import pytest
from hypothesis import given, settings, strategies
from sandboxes import able_host
from system_calls import MACHINES, TABLES

from pyexec.config import Config
from pyexec.job import Host, Plan
from pyexec.kernel import bpf, landlock, layers, libc, policy, rlimits, seccomp, syscalls

ALL = policy.EVERYTHING_CONTAINED
NOTHING = policy.Contained(False, False, False, False, False, False)
X32_BIT = 0x40000000
EPERM, ENOSYS = bpf.errno_action(errno.EPERM), bpf.errno_action(errno.ENOSYS)


@pytest.mark.parametrize("column,machine", list(enumerate(MACHINES)))
def test_numbers_are_those_of_the_full_table(column: int, machine: str) -> None:
    for name, numbers in syscalls.CALLS.items():
        assert numbers[column] == TABLES[machine].get(name), name


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("admin", [False, True])
@pytest.mark.parametrize("contained", [policy.Contained(*held) for held in itertools.product((False, True), repeat=6)])
def test_filter_allows_what_the_policy_says_and_nothing_else(
    machine: str, admin: bool, contained: policy.Contained
) -> None:
    program = seccomp.program(admin, contained, machine)
    allowed = seccomp.allowed(admin, contained, machine)
    arch = bpf.AUDIT_ARCH[machine]
    answers = {name: bpf.RET_ERRNO | number for name, number in policy.answered(admin, contained).items()}
    for name, number in TABLES[machine].items():
        # Arguments that satisfy each check of the policy, so that what remains is the call itself.
        arguments = [0] * 6
        for check in allowed.get(name, ()):
            arguments[check.argument] = check.values[0]
        want = bpf.RET_ALLOW if name in allowed else answers.get(name, EPERM)
        assert bpf.simulate(program, arch, number, arguments) == want, name
        assert bpf.simulate(program, arch, number | X32_BIT, arguments) == EPERM, "x32 " + name
        for other in (set(bpf.AUDIT_ARCH.values()) | {0x40000003, 0x40000028}) - {arch}:
            assert bpf.simulate(program, other, number, arguments) == bpf.RET_KILL_PROCESS
    for number in (-1, 1 << 20, 0x7FFFFFFF, max(TABLES[machine].values()) + 100):
        assert bpf.simulate(program, arch, number) == EPERM


@pytest.mark.parametrize(
    "name,good,bad",
    [
        ("openat", [0, 0, 0o102], [0, 0, 0o20200002]),
        ("openat", [0, 0, 0o102], [0, 0, 0o103]),  # for neither reading nor writing
        ("openat", [0, 0, 0o1001], [0, 0, 0o1003]),
        ("fcntl", [3, 1030], [3, 8]),  # F_SETOWN
        ("fcntl", [3, 4], [3, 10]),  # F_SETSIG
        ("ioctl", [0, 0x5401], [0, 0x5412]),  # TIOCSTI
        ("prlimit64", [0, 7, 0, 1], [1, 7, 0, 1]),
        ("sched_getaffinity", [0, 128, 1], [7, 128, 1]),
        ("prlimit64", [0, 7, 0, 1], [0, 7, 1, 0]),
        ("prlimit64", [0, 7, 0, 1], [0, 7, 1 << 32, 0]),
        ("mmap", [0, 4096, 3, 0x22], [0, 4096, 3, 0x21]),  # shared and anonymous
        ("mmap", [0, 4096, 3, 0x32], [0, 4096, 3, 0x31]),  # at a fixed address
        ("mmap", [0, 4096, 3, 0x1], [0, 4096, 3, 0x3]),  # MAP_SHARED_VALIDATE
        ("mmap", [0, 4096, 3, 0x2], [0, 4096, 3, 0x28]),  # MAP_DROPPABLE
        ("mmap", [0, 4096, 3, 0x4022], [0, 4096, 3, 0x40022]),  # MAP_HUGETLB
        ("mmap", [0, 4096, 3, 0x22], [0, 4096, 3, 0x20]),
        ("madvise", [0, 4096, 4], [0, 4096, 12]),  # MADV_DONTNEED, MADV_MERGEABLE
        ("madvise", [0, 4096, 8], [0, 4096, 21]),  # MADV_FREE, MADV_PAGEOUT
        ("madvise", [0, 4096, 102], [0, 4096, 101]),  # MADV_GUARD_INSTALL, as glibc 2.42 does; MADV_SOFT_OFFLINE
        ("mremap", [0, 4096, 8192, 1], [0, 4096, 4096, 5]),  # MREMAP_DONTUNMAP
        ("futex", [0, 128, 0], [0, 0, 0]),  # a wait with FUTEX_PRIVATE_FLAG, and one without
        ("futex", [0, 0x109, 0], [0, 9, 0]),  # but this is how a thread is joined
        ("futex", [0, 0x109, 0], [0, 0x101, 0]),  # FUTEX_WAKE
        ("futex", [0, 0x189, 0], [0, 0x309, 0]),
        ("futex", [0, 0x81, 0], [0, 0x86, 0]),  # FUTEX_LOCK_PI
        ("clone", [0x3D0F00], [0x11]),  # a thread as glibc makes it; a process
        ("clone", [0x7D0F00], [0x4111]),  # as musl makes it; vfork
        ("clone", [0x3D0F00], [0x3D0B00]),  # without CLONE_FILES
        ("clone", [0x3D0F00], [0x3D0F11]),  # with a signal at its end
        ("clone", [0x3D0F00], [0x103D0F00]),  # CLONE_NEWUSER
        ("clone", [0x3D0F00], [1 << 32 | 0x3D0F00]),
        ("fcntl", [3, 6], [3, 7]),  # F_SETLK, F_SETLKW
        ("fcntl", [3, 37], [3, 38]),  # F_OFD_SETLK, F_OFD_SETLKW
        ("sendto", [3, 0, 1, 0, 0, 0], [3, 0, 1, 1, 0, 0]),  # MSG_OOB
        ("sendto", [3, 0, 1, 0, 0, 0], [3, 0, 1, 0, 1 << 32, 16]),  # to an address
        ("recvfrom", [3, 0, 1, 0], [3, 0, 1, 1]),  # MSG_OOB
        ("recvfrom", [3, 0, 1, 0], [3, 0, 1, 2]),  # MSG_PEEK
        ("pipe2", [0, 0o2004000], [0, 0o2000200]),  # O_NOTIFICATION_PIPE
        ("pipe2", [0, 0], [0, 0o40000]),  # O_DIRECT
        ("socketpair", [1, 0o2004001, 0, 0], [1, 2, 0, 0]),  # SOCK_DGRAM
        ("socketpair", [1, 1, 0, 0], [1, 5, 0, 0]),  # SOCK_SEQPACKET
        ("socketpair", [1, 1, 0, 0], [2, 1, 0, 0]),
        ("renameat2", [0, 0, 0, 0, 1], [0, 0, 0, 0, 4]),  # RENAME_NOREPLACE, RENAME_WHITEOUT
        ("epoll_ctl", [40, 1, 31, 0], [4, 1, 32, 0]),
        ("epoll_ctl", [40, 1, 0, 0], [4, 1, 0xFFFFFFFF, 0]),
    ],
)
@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("contained", [ALL, NOTHING])
def test_arguments_are_looked_at(
    machine: str, contained: policy.Contained, name: str, good: List[int], bad: List[int]
) -> None:
    program, arch = seccomp.program(False, contained, machine), bpf.AUDIT_ARCH[machine]
    number = TABLES[machine][name]
    assert bpf.simulate(program, arch, number, good) == bpf.RET_ALLOW
    assert bpf.simulate(program, arch, number, bad) == EPERM


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("admin", [False, True])
def test_what_copies_files_is_refused_so_that_python_takes_the_next_way(machine: str, admin: bool) -> None:
    """`pathlib.Path.copy` of Python 3.14 tries FICLONE, copy_file_range and sendfile, and knows few errnos of each."""
    program, arch = seccomp.program(admin, ALL, machine), bpf.AUDIT_ARCH[machine]

    def answer(name: str, *arguments: int) -> int:
        return bpf.simulate(program, arch, TABLES[machine][name], arguments)

    assert answer("ioctl", 1, 0x40049409, 3) == bpf.errno_action(errno.EOPNOTSUPP)
    assert answer("ioctl", 1, 0x4004940D, 3) == EPERM  # FICLONERANGE
    assert answer("copy_file_range") == (bpf.RET_ALLOW if admin else bpf.errno_action(errno.EXDEV))
    assert answer("sendfile") == bpf.errno_action(errno.ENOSYS if admin else errno.ENOTSOCK)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    "name,good,bad",
    [
        ("fallocate", [3, 0, 0, 4096], [3, 1, 0, 4096]),  # FALLOC_FL_KEEP_SIZE
        ("fallocate", [3, 0, 0, 4096], [3, 3, 0, 4096]),  # with FALLOC_FL_PUNCH_HOLE
        ("sendto", [3, 0, 1, 0, 0, 0], [3, 0, 1, 1, 0, 0]),  # MSG_OOB
        ("sendto", [3, 0, 1, 0, 0, 0], [3, 0, 1, 0, 1 << 32, 16]),  # to an address
        ("recvfrom", [3, 0, 1, 0], [3, 0, 1, 1]),  # MSG_OOB
        ("recvfrom", [3, 0, 1, 0], [3, 0, 1, 2]),  # MSG_PEEK
        ("pipe2", [0, 0o2004000], [0, 0o2000200]),  # O_NOTIFICATION_PIPE
        ("pipe2", [0, 0], [0, 0o40000]),  # O_DIRECT
        ("socketpair", [1, 0o2004001, 0, 0], [1, 2, 0, 0]),  # SOCK_DGRAM
        ("socketpair", [1, 1, 0, 0], [1, 5, 0, 0]),  # SOCK_SEQPACKET
        ("socketpair", [1, 1, 0, 0], [2, 1, 0, 0]),
        ("fcntl", [3, 6], [3, 7]),  # F_SETLK, F_SETLKW
        ("fcntl", [3, 37], [3, 38]),  # F_OFD_SETLK, F_OFD_SETLKW
        ("fcntl", [3, 1032], [3, 1031]),  # F_GETPIPE_SZ, F_SETPIPE_SZ
        ("renameat2", [0, 0, 0, 0, 1], [0, 0, 0, 0, 4]),  # RENAME_NOREPLACE, RENAME_WHITEOUT
        ("getpriority", [0, 0], [2, 0]),  # PRIO_USER
        ("prlimit64", [0, 7, 1 << 32, 0], [1, 7, 1 << 32, 0]),
    ],
)
def test_arguments_of_admins_are_looked_at(machine: str, name: str, good: List[int], bad: List[int]) -> None:
    for contained in (ALL, NOTHING):
        program, arch = seccomp.program(True, contained, machine), bpf.AUDIT_ARCH[machine]
        number = TABLES[machine][name]
        assert bpf.simulate(program, arch, number, good) == bpf.RET_ALLOW
        assert bpf.simulate(program, arch, number, bad) == EPERM


# The checked arguments that the kernel takes as 64 bits: unsigned long, or a pointer. Of an int it drops the upper half,
# which callers may leave as it is or fill with the sign. Source: SYSCALL_DEFINE in linux/kernel, mm, net and fs.
LONG = {("mmap", 3), ("mremap", 3), ("clone", 0), ("prlimit64", 2), ("sendto", 4)}


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("admin", [False, True])
def test_arguments_are_compared_as_wide_as_the_kernel_takes_them(machine: str, admin: bool) -> None:
    looked_at = set()
    for contained in (ALL, NOTHING):
        program = seccomp.program(admin, contained, machine)
        for name, checks in seccomp.allowed(admin, contained, machine).items():
            arguments = [0] * 6
            for check in checks:
                arguments[check.argument] = check.values[0]
            for check in checks:
                wide = (name, check.argument) in LONG
                looked_at.add((name, check.argument))
                assert check.width == (64 if wide else 32), name
                for upper in (1 << 32, 0xFFFFFFFF << 32, 1 << 63):
                    given = list(arguments)
                    given[check.argument] |= upper
                    # Of clone's flags the kernel takes the lower half only, though it has a long.
                    want = EPERM if wide and not (admin and name == "clone") else bpf.RET_ALLOW
                    assert bpf.simulate(program, bpf.AUDIT_ARCH[machine], TABLES[machine][name], given) == want, name
    assert looked_at >= LONG - ({("prlimit64", 2)} if admin else set())  # admins may lower their limits


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("admin", [False, True])
def test_the_holder_of_a_lock_is_told_only_where_every_pid_is_the_runs_own(machine: str, admin: bool) -> None:
    arch, fcntl = bpf.AUDIT_ARCH[machine], TABLES[machine]["fcntl"]
    for command in (5, 36):  # F_GETLK, F_OFD_GETLK
        for processes, action in ((True, bpf.RET_ALLOW), (False, EPERM)):
            program = seccomp.program(admin, ALL._replace(processes=processes), machine)
            assert bpf.simulate(program, arch, fcntl, [3, command]) == action


@pytest.mark.parametrize("machine", MACHINES)
def test_public_scripts_delete_and_replace_only_where_a_size_bounds_it(machine: str) -> None:
    """What is deleted and still open takes space that nothing on a disk counts."""
    arch, refused = bpf.AUDIT_ARCH[machine], seccomp.program(False, ALL._replace(deletion=False), machine)
    calls = "unlink unlinkat rmdir rename renameat link linkat".split()
    for name in [name for name in calls if name in TABLES[machine]]:
        number = TABLES[machine][name]
        assert bpf.simulate(refused, arch, number) == EPERM, name
        for admin in (False, True):
            assert bpf.simulate(seccomp.program(admin, ALL, machine), arch, number) == bpf.RET_ALLOW
        assert bpf.simulate(seccomp.program(True, NOTHING, machine), arch, number) == bpf.RET_ALLOW
    for flags, action in ((0, EPERM), (1, bpf.RET_ALLOW), (2, EPERM), (3, EPERM), (4, EPERM), (5, EPERM)):
        assert bpf.simulate(refused, arch, TABLES[machine]["renameat2"], [0, 0, 0, 0, flags]) == action


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("admin", [False, True])
def test_the_servers_channel_yields_bytes_and_nothing_else(machine: str, admin: bool) -> None:
    """SO_PEERPIDFD on it would be a pidfd of the server, and SCM_RIGHTS could put anything into the server's table."""
    program, arch = seccomp.program(admin, ALL, machine), bpf.AUDIT_ARCH[machine]
    for name in "getsockopt setsockopt shutdown sendmsg recvmsg sendmmsg recvmmsg getpeername connect bind listen accept4".split():
        assert bpf.simulate(program, arch, TABLES[machine][name], [3]) == EPERM, name


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("admin", [False, True])
def test_no_run_waits_for_a_disk(machine: str, admin: bool) -> None:
    arch = bpf.AUDIT_ARCH[machine]
    for contained in (ALL, NOTHING):
        program = seccomp.program(admin, contained, machine)
        for name in ("fsync", "fdatasync", "msync", "sync_file_range"):
            assert bpf.simulate(program, arch, TABLES[machine][name]) == bpf.RET_SUCCESS
        for name in ("sync", "syncfs"):
            assert bpf.simulate(program, arch, TABLES[machine][name]) == EPERM
        for flags in (0o4010000, 0o10000):  # O_SYNC, O_DSYNC: of no account in a tmpfs
            want = bpf.RET_ALLOW if contained.files else EPERM
            assert bpf.simulate(program, arch, TABLES[machine]["openat"], [0, 0, flags | 0o102]) == want


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    "name,place", [("getpgid", 0), ("getpriority", 1), ("sched_getparam", 0), ("sched_getscheduler", 0)]
)
def test_admins_ask_about_themselves_only(machine: str, name: str, place: int) -> None:
    program, arch = seccomp.program(True, ALL, machine), bpf.AUDIT_ARCH[machine]
    for pid, action in ((0, bpf.RET_ALLOW), (1, EPERM), (4711, EPERM)):
        arguments = [0, 0]
        arguments[place] = pid
        assert bpf.simulate(program, arch, TABLES[machine][name], arguments) == action


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("flag", [1 << bit for bit in (7, 15, 17, 25, 26, 27, 28, 29, 30)])
def test_no_clone_makes_a_namespace_or_a_sibling(machine: str, flag: int) -> None:
    program, arch = seccomp.program(True, ALL, machine), bpf.AUDIT_ARCH[machine]
    clone = TABLES[machine]["clone"]
    assert bpf.simulate(program, arch, clone, [0x11]) == bpf.RET_ALLOW
    assert bpf.simulate(program, arch, clone, [0x11 | flag]) == EPERM
    assert bpf.simulate(program, arch, TABLES[machine]["clone3"], [0]) == ENOSYS


@pytest.mark.parametrize("machine", MACHINES)
def test_a_thread_shares_the_descriptors_of_its_process(machine: str) -> None:
    program, arch = seccomp.program(True, ALL, machine), bpf.AUDIT_ARCH[machine]
    for flags in (0x3D0F00, 0x7D0F00, 0x4111, 0x01200011):  # glibc's thread, musl's, vfork, fork
        assert bpf.simulate(program, arch, TABLES[machine]["clone"], [flags]) == bpf.RET_ALLOW
    for flags in (0x3D0B00, 0x10B00):  # without CLONE_FILES
        assert bpf.simulate(program, arch, TABLES[machine]["clone"], [flags]) == EPERM


def test_few_calls_are_allowed() -> None:
    """The count is a promise: a call more is a decision, made here as well."""
    assert {m: len(seccomp.allowed(False, ALL, m)) for m in MACHINES} == {"x86_64": 99, "aarch64": 79}
    assert {m: len(seccomp.allowed(True, ALL, m)) for m in MACHINES} == {"x86_64": 146, "aarch64": 118}


@pytest.mark.skipif(libc.machine() != "x86_64", reason="these calls exist on x86-64 alone")
@pytest.mark.parametrize("number", sorted(policy.PAST_EVERY_FILTER.values()))
def test_the_calls_that_pass_every_filter_do_nothing_for_who_is_not_probed(number: int) -> None:
    assert TABLES["x86_64"][{value: name for name, value in policy.PAST_EVERY_FILTER.items()}[number]] == number
    pid = os.fork()
    if pid == 0:
        try:
            faulthandler.disable()
            libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
            resource.setrlimit(resource.RLIMIT_CORE, (1, 1))
            seccomp.load(bpf.encode(seccomp.program(True, ALL)))
            call = ctypes.CDLL(None, use_errno=True).syscall
            os._exit(ctypes.get_errno() & 0xFF if call(ctypes.c_long(number)) == -1 else 0)
        finally:
            os._exit(255)
    status = os.waitpid(pid, 0)[1]
    # SIGILL: not called from the kernel's own trampoline. ENXIO: nothing is probed here. EPERM: an older kernel.
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGILL
    else:
        assert os.WEXITSTATUS(status) in (errno.EPERM, errno.ENXIO)


# By which calls the C library does on arm64 what has a call of its own on x86-64.
REPLACED = {
    "access": "faccessat",
    "alarm": "setitimer",
    "chmod": "fchmodat",
    "creat": "openat",
    "dup2": "dup3",
    "epoll_wait": "epoll_pwait",
    "fork": "clone",
    "futimesat": "utimensat",
    "getpgrp": "getpgid",
    "link": "linkat",
    "lstat": "newfstatat",
    "mkdir": "mkdirat",
    "open": "openat",
    "pause": "ppoll",
    "pipe": "pipe2",
    "poll": "ppoll",
    "readlink": "readlinkat",
    "rename": "renameat",
    "rmdir": "unlinkat",
    "select": "pselect6",
    "stat": "newfstatat",
    "symlink": "symlinkat",
    "time": "clock_gettime",
    "unlink": "unlinkat",
    "utime": "utimensat",
    "utimes": "utimensat",
    "vfork": "clone",
}


@pytest.mark.parametrize("admin", [False, True])
@pytest.mark.parametrize("contained", [ALL, NOTHING])
def test_what_x86_64_may_do_arm64_may_do_by_other_calls(admin: bool, contained: policy.Contained) -> None:
    x86_64, aarch64 = (seccomp.allowed(admin, contained, machine) for machine in MACHINES)
    for name in set(x86_64) - set(aarch64) - {"arch_prctl"}:  # which sets what is a plain register on arm64
        assert REPLACED[name] in aarch64, name


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("admin", [False, True])
def test_vectors_with_flags_are_absent_so_that_those_without_are_used(machine: str, admin: bool) -> None:
    """The C library makes preadv of preadv2 where that is absent; EPERM it hands on. RWF_SYNC would wait for a disk."""
    program = seccomp.program(admin, ALL, machine)
    for name in ("preadv2", "pwritev2"):
        assert bpf.simulate(program, bpf.AUDIT_ARCH[machine], TABLES[machine][name]) == ENOSYS


def test_every_group_has_a_reason_and_no_call_stands_twice() -> None:
    groups = policy.groups(True, ALL)
    assert all(group.reason and group.calls for group in groups + (policy.ON_A_DISK, policy.RENAMING))
    names = [name for group in groups for name, _ in group.calls]
    twice = {name for name in names if names.count(name) > 1}
    # The later rule, with shared locks, processes, holders of locks, all timers, or watches of all descriptors, takes the
    # place of the earlier one.
    assert twice == {"fcntl", "futex", "clone", "prlimit64", "setitimer", "epoll_ctl"}
    assert set(policy.answered(False, NOTHING)) & {"fcntl", "futex", "mmap", "open", "openat"} == set()


_rules = strategies.lists(
    strategies.tuples(
        strategies.integers(0, 60),  # so few that many follow each other
        strategies.lists(
            strategies.tuples(
                strategies.integers(0, 5),
                strategies.sampled_from([32, 64]),
                strategies.sampled_from([0, 0xFF, 0xFFFFFFFF, 0xFFFF0000]),
                strategies.lists(strategies.integers(0, 255), min_size=1, max_size=6),
            ),
            max_size=3,
        ),
        strategies.sampled_from([bpf.RET_ALLOW, EPERM, ENOSYS]),
    ),
    max_size=40,
    unique_by=lambda rule: rule[0],
)


@settings(deadline=None)
@given(_rules, strategies.integers(0, 60), strategies.lists(strategies.integers(0, 2**64 - 1), min_size=6, max_size=6))
def test_assembled_program_means_its_rules(rules: list, nr: int, arguments: List[int]) -> None:
    made = [
        bpf.Rule(number, tuple(bpf.Check(i, w, m, tuple(v & m for v in vs)) for i, w, m, vs in checks), action)
        for number, checks, action in rules
    ]
    want = ENOSYS
    for rule in made:
        if rule.nr == nr:
            holds = all(
                (arguments[c.argument] & (2**c.width - 1)) & c.mask in c.values
                if c.width == 32
                else arguments[c.argument] & c.mask in c.values
                for c in rule.checks
            )
            want = rule.action if holds else ENOSYS
    arch = bpf.AUDIT_ARCH["x86_64"]
    assert bpf.simulate(bpf.assemble(arch, made, ENOSYS), arch, nr, arguments) == want


def test_jumps_farther_than_a_byte_says() -> None:
    """Bodies of their own for so many calls that no comparison reaches from one end of the program to the other."""
    rules = [
        bpf.Rule(nr, (bpf.Check(0, 64, 2**64 - 1, (nr, nr + 3, nr + 7)),), bpf.RET_ALLOW) for nr in range(0, 300, 2)
    ]
    program = bpf.assemble(7, rules, EPERM)
    assert len(program) > 3 * 255
    for nr in range(300):
        for value in (nr, nr + 1, nr + 7, nr + (1 << 32)):
            want = bpf.RET_ALLOW if nr % 2 == 0 and value in (nr, nr + 7) else EPERM
            assert bpf.simulate(program, 7, nr, [value]) == want


class _Counted(list):  # type: ignore[type-arg]
    """A program that counts the instructions which are executed."""

    executed = 0

    def __getitem__(self, index: Any) -> Any:
        self.executed += 1
        return super().__getitem__(index)


@pytest.mark.parametrize("machine", sorted(TABLES))
@pytest.mark.parametrize("admin", [False, True])
def test_no_call_takes_long_to_find(machine: str, admin: bool) -> None:
    """The kernel asks for each of several hundred calls, in each child, before it starts to filter."""
    program = seccomp.program(admin, ALL, machine)
    for number in TABLES[machine].values():
        counted = _Counted(program)
        bpf.simulate(counted, bpf.AUDIT_ARCH[machine], number, [2**64 - 1] * 6)
        assert counted.executed <= 20


def test_assembler_refuses_nonsense() -> None:
    allow = bpf.Rule(1, (), bpf.RET_ALLOW)
    with pytest.raises(ValueError, match="two rules"):
        bpf.assemble(0, [allow, allow], EPERM)
    with pytest.raises(ValueError, match="instructions"):
        bpf.assemble(0, [bpf.Rule(n, (), bpf.RET_ALLOW) for n in range(0, 10000, 2)], EPERM)
    with pytest.raises(ValueError, match="errno"):
        bpf.errno_action(0)
    with pytest.raises(ValueError, match="low 32 bits"):
        bpf.assemble(0, [bpf.Rule(1, (bpf.Check(0, 64, 2**64 - 1, (0, 1 << 32)),), bpf.RET_ALLOW)], EPERM)
    with pytest.raises(ValueError, match="runs off"):
        bpf.simulate([bpf.Instruction(bpf.LOAD_WORD, 0, 0, 0)], 0, 0)
    with pytest.raises(ValueError, match="unknown"):
        bpf.simulate([bpf.Instruction(0xFF, 0, 0, 0)], 0, 0)


# What each ABI has for the first time, as (field, bit), and the size of the attributes. Source: linux/landlock.h and the
# section "Previous limitations" of Documentation/userspace-api/landlock.rst. ABI 7 is about the audit log only.
LANDLOCK = [
    ({("files", bit) for bit in range(13)}, 8),  # execute to make_sym
    ({("files", 13)}, 8),  # refer
    ({("files", 14)}, 8),  # truncate
    ({("network", 0), ("network", 1)}, 16),  # bind and connect, TCP
    ({("files", 15)}, 16),  # ioctl_dev
    ({("scopes", 0), ("scopes", 1)}, 24),  # abstract sockets, signals
    (set(), 24),
    (set(), 24),  # one that is not known here
]


@pytest.mark.parametrize("abi", range(1, len(LANDLOCK) + 1))
def test_landlock_handles_all_rights_of_each_abi_and_no_other(abi: int) -> None:
    """One too few is left unrestricted; one too many, or a larger size, is refused by the kernel of that ABI."""
    *fields, size = landlock.handled(abi)
    found = {
        (name, bit)
        for name, value in zip(("files", "network", "scopes"), fields)
        for bit in range(64)
        if value & 1 << bit
    }
    assert found == set().union(*(new for new, _ in LANDLOCK[:abi]))
    assert size == LANDLOCK[abi - 1][1]


@pytest.mark.parametrize("abi", [0, -1])
def test_landlock_of_no_abi_is_refused(abi: int) -> None:
    with pytest.raises(ValueError, match="no Landlock ABI"):
        landlock.handled(abi)


def test_landlock_is_said_to_restrict_what_its_abi_does() -> None:
    said = [landlock.restricted(abi) for abi in range(1, 8)]
    assert (
        said == ["files, but not their truncation"] * 2 + ["files"] + ["files, TCP"] * 2 + ["files, TCP, signals"] * 2
    )
    (row,) = [row for row in layers.report(able_host(landlock_abi=4)) if row.name == "landlock"]
    assert row.detail == "files, TCP: only what is named (ABI 4)"


def _plan(host: Host, admin: bool) -> Plan:
    return Plan(host, admin, 1000, 1000, "/work", (), (), 10**9, 1, 4, Config.of().budget)


@pytest.mark.parametrize(
    "host,public,admin",
    [
        (able_host(uid=0, own_uids=True), 33, 44),
        (able_host(uid=0, own_uids=True, namespaces=("pid",)), 33, 44),
        (able_host(namespaces=("user", "pid")), 33, 44),
        (able_host(), None, None),  # the uid is shared with others on the machine: a limit would count them too
        (able_host(uid=0, namespaces=("user",)), None, None),  # measured: it stops nothing for uid 0
    ],
)
def test_processes_are_limited_where_the_count_is_the_runs_own(host: Host, public: object, admin: object) -> None:
    assert rlimits.values(_plan(host, False)).get(resource.RLIMIT_NPROC) == public
    assert rlimits.values(_plan(host, True)).get(resource.RLIMIT_NPROC) == admin


def _contained(host: Host) -> policy.Contained:
    return policy.contained(host)


def test_signals_pass_the_filter_only_where_another_layer_holds_them() -> None:
    assert _contained(able_host(landlock_abi=6)).signals
    assert _contained(able_host(landlock_abi=0, namespaces=("pid",))).signals
    assert _contained(able_host(landlock_abi=0, own_uids=True)).signals
    assert not _contained(able_host(landlock_abi=5)).signals
    assert not {"kill", "tkill", "tgkill"} & set(seccomp.allowed(True, ALL._replace(signals=False), "x86_64"))


METADATA = "chmod fchmod fchmodat fchmodat2 utime utimes futimesat utimensat".split()


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("admin", [False, True])
def test_modes_and_times_change_only_where_another_layer_keeps_them_to_the_runs_own_files(
    machine: str, admin: bool
) -> None:
    assert _contained(able_host(namespaces=("mount",))).metadata and _contained(able_host(own_uids=True)).metadata
    assert not _contained(able_host(landlock_abi=7)).metadata
    held, free = (seccomp.program(admin, ALL._replace(metadata=held), machine) for held in (True, False))
    for name in set(METADATA) & set(TABLES[machine]):
        number, arch = TABLES[machine][name], bpf.AUDIT_ARCH[machine]
        assert bpf.simulate(held, arch, number) == bpf.RET_ALLOW
        # What copies a file goes on: it is told that the mode is set.
        assert bpf.simulate(free, arch, number) == bpf.RET_SUCCESS
    for name in {"chown", "fchown", "lchown", "fchownat"} & set(TABLES[machine]):
        assert bpf.simulate(held, bpf.AUDIT_ARCH[machine], TABLES[machine][name]) == EPERM


def test_deletion_is_bounded_by_a_tmpfs_of_the_runs_own_or_of_all_runs() -> None:
    assert _contained(able_host(namespaces=("mount",))).deletion
    assert not _contained(able_host(own_uids=True)).deletion
    on_a_tmpfs = _contained(able_host(tmpfs_bytes=1 << 29))
    assert on_a_tmpfs.deletion and not on_a_tmpfs.files


def test_lengths_change_by_name_only_where_a_layer_looks_at_it() -> None:
    """A file that everybody may write is nobody's own: a uid of its own does not keep a run from it."""
    assert (
        _contained(able_host(landlock_abi=3)).lengths
        and _contained(able_host(landlock_abi=0, namespaces=("mount",))).lengths
    )
    assert not _contained(able_host(landlock_abi=2, own_uids=True)).lengths
    assert "truncate" not in seccomp.allowed(True, ALL._replace(lengths=False), "x86_64")


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("admin", [False, True])
def test_extended_attributes_are_read_only_in_a_tree_and_written_nowhere(machine: str, admin: bool) -> None:
    absent = bpf.errno_action(errno.ENOTSUP)
    for files in (True, False):
        program = seccomp.program(admin, ALL._replace(files=files), machine)
        for name in "setxattr lsetxattr fsetxattr removexattr lremovexattr fremovexattr".split():
            assert bpf.simulate(program, bpf.AUDIT_ARCH[machine], TABLES[machine][name]) == absent
        for name in "getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr".split():
            want = bpf.RET_ALLOW if admin and files else absent
            assert bpf.simulate(program, bpf.AUDIT_ARCH[machine], TABLES[machine][name]) == want


@pytest.mark.parametrize(
    "host,dangers",
    [
        (able_host(), []),
        (able_host(landlock_abi=0, namespaces=("mount", "pid")), []),
        (able_host(landlock_abi=0), ["read or write the host's files"]),
        (able_host(seccomp=False, namespaces=("mount", "pid", "network", "ipc")), ["attack the kernel"]),
    ],
)
def test_floor(host: Host, dangers: List[str]) -> None:
    assert [danger.name for danger in layers.uncovered(host)] == dangers


def test_every_danger_names_real_layers() -> None:
    known = {layer.name for layer in layers.LAYERS}
    for danger in layers.DANGERS:
        assert set(danger.stopped_by) <= known and danger.remedy


def test_calls_report_their_failure() -> None:
    with pytest.raises(OSError) as caught:
        libc.syscall("close_range", 10, 5, 0)
    assert (caught.value.errno, caught.value.filename) == (errno.EINVAL, "close_range")
    with pytest.raises(OSError):
        libc.prctl(12345)
    with pytest.raises(OSError) as absent:
        libc.mount("x", "/nonexistent", "tmpfs", 0)
    assert absent.value.errno in (errno.ENOENT, errno.EPERM, errno.ENOSYS)  # as root, as a user, in a container


def test_unknown_machines_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(OSError, match="riscv64"):
        libc.machine()


def test_files_opened_for_reading_are_not_emptied() -> None:
    for machine in ("x86_64", "aarch64"):
        program = seccomp.program(True, policy.EVERYTHING_CONTAINED, machine)
        number, arch = libc.number("openat", machine), bpf.AUDIT_ARCH[machine]
        flags = {os.O_RDONLY | os.O_TRUNC: False, os.O_WRONLY | os.O_TRUNC: True, os.O_RDWR | os.O_TRUNC: True, 0: True}
        for flag, allowed in flags.items():
            action = bpf.simulate(program, arch, number, [0, 0, flag | os.O_CREAT])
            assert (action == bpf.RET_ALLOW) == allowed
