"""Landlock: which files, TCP ports, abstract sockets and signal targets exist for the run.

Made ready in the zygote; put on by the child, after its identity is final. The rules name the interpreter's and the
system's read-only trees and the run's own directory; nothing else can be opened, and no place that the run can write to
can be executed.

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


class Rules:
    """What the children of one zygote and kind may reach, made ready in the zygote, in the tree that they will see.

    Where each run has a tmpfs of its own, one ruleset serves all: it names the directory that holds nothing but the
    mount point, since the kernel's walk from a mounted root upwards passes over the mount point itself. Elsewhere each
    child makes a ruleset that names its own directory as well. Always the child restricts itself: a domain taken by the
    zygote would be one for all its children, and they could signal each other.
    """

    def __init__(self, plan: Plan) -> None:
        """Open what is to be named. Raises OSError."""
        files, network, scopes, size = handled(plan.host.landlock_abi)
        self._attributes, self._size = _RulesetAttributes(files, network, scopes), size
        self._own = OWN & files
        self._paths: list[_PathBeneath] = []
        self._add(plan.read_paths, READ, files)
        if plan.admin:
            self._add(plan.execute_paths, READ | ACCESS_FS_EXECUTE, files)
        self._add(("/dev/null",), ACCESS_FS_READ_FILE | ACCESS_FS_WRITE_FILE, files, needed=True)
        self._ruleset = -1
        if plan.mount_point:
            self._add((os.path.dirname(plan.mount_point),), OWN, files, needed=True)
            self._ruleset = libc.high(self._make())
            while self._paths:
                os.close(self._paths.pop().parent_fd)

    def _add(self, paths: Sequence[str], access: int, files: int, needed: bool = False) -> None:
        for path in paths:
            try:
                fd = libc.high(os.open(path, os.O_PATH | os.O_CLOEXEC))
            except (FileNotFoundError, PermissionError):
                if needed:
                    raise
                continue  # what this process can't reach needs no right
            # The kernel answers EINVAL to a directory's right on a file.
            of_its_kind = files if stat.S_ISDIR(os.fstat(fd).st_mode) else files & _OF_A_FILE
            self._paths.append(_PathBeneath(access & of_its_kind, fd))

    def _make(self) -> int:
        ruleset = libc.syscall("landlock_create_ruleset", self._attributes, self._size, 0)
        for rule in self._paths:
            libc.syscall("landlock_add_rule", ruleset, LANDLOCK_RULE_PATH_BENEATH, rule, 0)
        return ruleset

    def calls(self, directory_fd: int) -> list[libc.Call]:
        """Return what restricts a child for good, its directory being that of the descriptor. Needs no_new_privs."""
        if self._ruleset >= 0:
            return [libc.system_call("landlock", "landlock_restrict_self", self._ruleset, 0)]
        return [libc.Call("landlock", self.restrict_to, (directory_fd,), None)]

    def restrict_to(self, directory_fd: int) -> None:
        """Restrict this process to the rules and to one directory. Raises OSError."""
        ruleset = self._make()
        rule = _PathBeneath(self._own, directory_fd)
        libc.syscall("landlock_add_rule", ruleset, LANDLOCK_RULE_PATH_BENEATH, rule, 0)
        libc.syscall("landlock_restrict_self", ruleset, 0)
        os.close(ruleset)
