"""Landlock: which files, TCP ports, abstract sockets and signal targets exist for the run.

Put on by the child, after its identity is final. The rules name the interpreter's and the system's read-only trees and
the run's own directory: nothing else can be opened, and nothing that the run can write can be executed. Landlock never
sees stat, chmod, chown, utime, chdir, extended attributes, or an open for neither reading nor writing: `policy` does.

Source: linux/landlock.h; Documentation/userspace-api/landlock.rst. Each ABI adds rights, never takes one away.
"""

from __future__ import annotations

import ctypes
import os
import stat
from typing import Sequence

from pyexec.job import Plan
from pyexec.kernel import libc

LANDLOCK_CREATE_RULESET_VERSION = 1
LANDLOCK_RULE_PATH_BENEATH = 1

ACCESS_FS_EXECUTE = 1 << 0
ACCESS_FS_WRITE_FILE = 1 << 1
ACCESS_FS_READ_FILE = 1 << 2
ACCESS_FS_READ_DIR = 1 << 3
ACCESS_FS_REMOVE_DIR = 1 << 4
ACCESS_FS_REMOVE_FILE = 1 << 5
ACCESS_FS_MAKE_CHAR = 1 << 6
ACCESS_FS_MAKE_DIR = 1 << 7
ACCESS_FS_MAKE_REG = 1 << 8
ACCESS_FS_MAKE_SOCK = 1 << 9
ACCESS_FS_MAKE_FIFO = 1 << 10
ACCESS_FS_MAKE_BLOCK = 1 << 11
ACCESS_FS_MAKE_SYM = 1 << 12
ACCESS_FS_REFER = 1 << 13  # ABI 2
ACCESS_FS_TRUNCATE = 1 << 14  # ABI 3
ACCESS_NET_BIND_TCP = 1 << 0  # ABI 4
ACCESS_NET_CONNECT_TCP = 1 << 1  # ABI 4
ACCESS_FS_IOCTL_DEV = 1 << 15  # ABI 5
SCOPE_ABSTRACT_UNIX_SOCKET = 1 << 0  # ABI 6
SCOPE_SIGNAL = 1 << 1  # ABI 6

READ = ACCESS_FS_READ_FILE | ACCESS_FS_READ_DIR
# The run's own directory: regular files, directories and symbolic links; no device, socket or FIFO.
OWN = (
    READ
    | ACCESS_FS_WRITE_FILE
    | ACCESS_FS_REMOVE_DIR
    | ACCESS_FS_REMOVE_FILE
    | ACCESS_FS_MAKE_DIR
    | ACCESS_FS_MAKE_REG
    | ACCESS_FS_MAKE_SYM
    | ACCESS_FS_REFER
    | ACCESS_FS_TRUNCATE
)
_OF_A_FILE = ACCESS_FS_EXECUTE | ACCESS_FS_WRITE_FILE | ACCESS_FS_READ_FILE | ACCESS_FS_TRUNCATE | ACCESS_FS_IOCTL_DEV


class _RulesetAttributes(ctypes.Structure):
    _fields_ = [
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    ]


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"  # asked for by Python 3.14 beside _pack_
    _fields_ = [("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32)]


def probe() -> int:
    """Return the Landlock ABI of this kernel.

    Raises:
        OSError: ENOSYS (Linux before 5.13, gVisor), EOPNOTSUPP (not enabled at boot), or EPERM (refused by a filter).
    """
    return libc.syscall("landlock_create_ruleset", None, 0, LANDLOCK_CREATE_RULESET_VERSION)


def handled(abi: int) -> tuple[int, int, int, int]:
    """Return the rights that a ruleset of this ABI restricts: files, network, scopes, and the attributes' size."""
    if abi < 1:
        raise ValueError(f"there is no Landlock ABI {abi}")
    last_fs = 12 + min(abi, 3) - 1  # ABI 1 ends with MAKE_SYM, 2 with REFER, 3 with TRUNCATE
    files = (1 << (last_fs + 1)) - 1
    if abi >= 5:
        files |= ACCESS_FS_IOCTL_DEV
    network = ACCESS_NET_BIND_TCP | ACCESS_NET_CONNECT_TCP if abi >= 4 else 0
    scopes = SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL if abi >= 6 else 0
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    return files, network, scopes, size


def restricted(abi: int) -> str:
    """Return in words what a ruleset of this ABI restricts."""
    if abi < 3:
        return "files, but not their truncation"
    return "files" if abi < 4 else "files, TCP" if abi < 6 else "files, TCP, signals"


def _allow(ruleset_fd: int, paths: Sequence[str], access: int, files: int, needed: bool = False) -> None:
    for path in paths:
        try:
            fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except (FileNotFoundError, PermissionError):
            if needed:
                raise
            continue  # what this process can't reach needs no right
        try:
            # The kernel answers EINVAL to a directory's right on a file.
            of_its_kind = files if stat.S_ISDIR(os.fstat(fd).st_mode) else files & _OF_A_FILE
            rule = _PathBeneath(access & of_its_kind, fd)
            libc.syscall("landlock_add_rule", ruleset_fd, LANDLOCK_RULE_PATH_BENEATH, rule, 0)
        finally:
            os.close(fd)


def apply(plan: Plan) -> None:
    """Restrict this process for good. Needs no_new_privs.

    Raises:
        OSError: a rule or the restriction was refused.
    """
    files, network, scopes, size = handled(plan.host.landlock_abi)
    attributes = _RulesetAttributes(files, network, scopes)
    ruleset_fd = libc.syscall("landlock_create_ruleset", attributes, size, 0)
    try:
        _allow(ruleset_fd, plan.read_paths, READ, files)
        if plan.admin:
            _allow(ruleset_fd, plan.execute_paths, READ | ACCESS_FS_EXECUTE, files)
        _allow(ruleset_fd, ("/dev/null",), ACCESS_FS_READ_FILE | ACCESS_FS_WRITE_FILE, files, needed=True)
        # A rule on a mount point is skipped by the kernel's walk from the mounted root upwards, so the directory is
        # named by what is mounted there: opening the path gives just that.
        _allow(ruleset_fd, (plan.workdir,), OWN, files, needed=True)
        libc.syscall("landlock_restrict_self", ruleset_fd, 0)
    finally:
        os.close(ruleset_fd)
