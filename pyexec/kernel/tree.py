"""The minimal file tree: read-only views of what the interpreter needs, assembled and then pivoted into.

Runs in a zygote before it forks, and when a host is probed. Never touches what a run writes.

Source: pivot_root(2), mount_setattr(2).
"""

from __future__ import annotations

import ctypes
import os
import stat
from typing import Collection, Sequence

from pyexec.kernel import libc

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 32, 4096, 16384, 1 << 18
MNT_DETACH = 2
AT_FDCWD, AT_RECURSIVE = -100, 0x8000

# The tree is assembled on top of /proc, which exists everywhere and contains nothing that the tree needs.
STAGE = "/proc"
DEVICES = ("/dev/null", "/dev/urandom", "/dev/random")
# Where a run's directory is mounted in the tree, unless the tree needs something of the host's at that path.
WORKDIR = "/work"


class _MountAttributes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("attr_set", "attr_clr", "propagation", "userns_fd")]


def make_private() -> None:
    """Keep later mounts from propagating to other namespaces. Raises OSError."""
    libc.mount(None, "/", None, MS_REC | MS_PRIVATE)


def pivot() -> None:
    """Leave the file tree for what is mounted on STAGE. Raises OSError."""
    os.chdir(STAGE)
    # Both names the same: the old root is stacked on the new one and unmounted at once; see pivot_root(2).
    libc.syscall("pivot_root", b".", b".")
    libc.syscall("umount2", b".", MNT_DETACH)
    os.chdir("/")


def free_place(taken: Collection[str]) -> str:
    """Return a top-level path for a run's directory that collides with none of these names.

    If the interpreter is in `/work/venv`, say, a tmpfs on `/work` would hide it from the very runs that need it.
    """
    place, serial = WORKDIR, 0
    while place[1:] in taken:
        serial += 1
        place = f"{WORKDIR}-{serial}"
    return place


def build_tree(paths: Sequence[str]) -> str:
    """Leave the host's file tree for one with read-only views of `paths`, a few devices and an empty directory.

    Symbolic links along a path are recreated, so that each path keeps its name.

    Returns:
        The empty directory's path, on which children mount their own.

    Raises:
        OSError: a mount was refused.
    """
    libc.mount("pyexec", STAGE, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=1m,mode=0755")
    bound: list[str] = []
    for path in sorted(set(paths) - set(DEVICES)):
        _place(path, bound)
    for device in DEVICES:
        if os.path.exists(device):
            _bind(device, MS_RDONLY | MS_NOSUID | MS_NOEXEC)
    # Only now is it known which names are taken: a link along a path may lead anywhere.
    workdir = free_place(os.listdir(STAGE))
    os.mkdir(STAGE + workdir, 0o755)
    if not os.path.lexists(STAGE + "/tmp"):
        os.symlink(workdir[1:], STAGE + "/tmp")
    libc.mount(None, STAGE, None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)
    pivot()
    return workdir


def _place(path: str, bound: list[str]) -> None:
    walked, rest = "", path.strip("/").split("/")
    while rest:
        walked = walked + "/" + rest.pop(0)
        if any(walked == done or walked.startswith(done + "/") for done in bound):
            return
        if os.path.islink(walked):
            target = os.readlink(walked)
            os.makedirs(os.path.dirname(STAGE + walked), exist_ok=True)
            if not os.path.lexists(STAGE + walked):
                os.symlink(target, STAGE + walked)
            onward = os.path.normpath(os.path.join(os.path.dirname(walked), target, *rest))
            return _place(onward, bound)
        if not os.path.exists(walked):
            return
    _bind(walked, MS_RDONLY | MS_NOSUID | MS_NODEV)
    bound.append(walked)


def _bind(path: str, flags: int) -> None:
    target = STAGE + path
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if stat.S_ISDIR(os.stat(path).st_mode):
        os.makedirs(target, exist_ok=True)
    else:
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
    # Recursive: in a user namespace a mount with others below it can only be bound whole.
    libc.mount(path, target, None, MS_BIND | MS_REC)
    set_attributes(target, flags)


def set_attributes(target: str, flags: int) -> None:
    """Give a mount, and all mounts below it, these attributes. Raises OSError."""
    # The MOUNT_ATTR_ flags have the values of these MS_ flags. Linux 5.12; without it the layer is off.
    attributes = _MountAttributes(flags, 0, 0, 0)
    libc.syscall("mount_setattr", AT_FDCWD, os.fsencode(target), AT_RECURSIVE, attributes, ctypes.sizeof(attributes))
