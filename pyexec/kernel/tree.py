"""The file tree that runs see: read-only views of the interpreter, its libraries and little else.

A zygote puts it together once, in a mount namespace of its own, and leaves the host's tree for it for good. In it lies
one empty directory, on which each child mounts a tmpfs of its own, with a directory for each purpose; what programs
expect elsewhere are links to these. Works in the zygote.

    /run/box        mount point of the child's tmpfs      /work, /mnt/data → /run/box/work
      work/         the script's directory                /tmp             → /run/box/tmp
      tmp/ home/    temporary files; HOME, for caches     /dev/shm         → /run/box/shm
      shm/          shared memory by name                 /data/NAME       an operator's directory, read-only
                                                          small files      see `tree_files`

Source: pivot_root(2), mount_setattr(2).
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from typing import Callable, Collection, Mapping, Sequence

from pyexec.job import data_path
from pyexec.kernel import libc

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
_MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 32, 4096, 16384, 1 << 18
_MNT_DETACH = 2
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000

# The tree is put together on top of /proc: nothing that goes into it can lie below, and it exists everywhere.
STAGE = "/proc"
DEVICES = ("/dev/null", "/dev/urandom", "/dev/random")
DIRECTORIES = ("work", "tmp", "shm", "home")
PLACE, _MOUNT_POINT = "/run", "box"
_LINKS = (("/work", "work"), ("/mnt/data", "work"), ("/tmp", "tmp"), ("/dev/shm", "shm"))


class _MountAttributes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("attr_set", "attr_clr", "propagation", "userns_fd")]


def make_private() -> None:
    """Let no mount made from here on reach another mount namespace. Raises OSError."""
    libc.mount(None, "/", None, _MS_REC | _MS_PRIVATE)


def pivot() -> None:
    """Make what is mounted on STAGE the root, and take the old one off. Raises OSError."""
    os.chdir(STAGE)
    # Both names the same: the old root lies on top of the new one and is taken off at once; see pivot_root(2).
    libc.syscall("pivot_root", b".", b".")
    libc.syscall("umount2", b".", _MNT_DETACH)
    os.chdir("/")


def build(
    paths: Sequence[str],
    files: Callable[[str], Mapping[str, bytes]] = lambda mount_point: {},
    data: Sequence[tuple[str, str]] = (),
) -> str:
    """Leave the host's file tree for one with read-only views of `paths`, a few devices and an empty mount point.

    Symbolic links on the way to a path are made anew, so that each path keeps its name.

    Args:
        data: names, and the directories of an operator that are to be seen as `data_path(name)`.
        files: given the mount point, small files to make, by path; one that lies in a view of the host is passed over.

    Returns:
        The mount point: the only thing in its directory, so that a Landlock rule on that directory says no more.

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
    for name, path in data:
        if any(data_path(name).startswith(each + "/") for each in bound) or os.path.lexists(STAGE + data_path(name)):
            raise OSError(errno.EEXIST, "the interpreter or its libraries lie there", data_path(name))
        _bind(path, MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, data_path(name))
    # Only now is it known what else stands there: a link on the way to a path may lead anywhere.
    mount_point = f"{free_place(os.listdir(STAGE))}/{_MOUNT_POINT}"
    os.makedirs(STAGE + mount_point, 0o755)
    for name, target in _LINKS:
        if _is_free(name, bound):
            os.symlink(f"{mount_point}/{target}", STAGE + name)
    for name, content in files(mount_point).items():
        if _is_free(name, bound):
            with open(STAGE + name, "xb") as file:
                file.write(content)
    libc.mount(None, STAGE, None, _MS_REMOUNT | _MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)
    pivot()
    return mount_point


def free_place(taken: Collection[str]) -> str:
    """Return a path straight below the root, where a run's tmpfs covers none of these names, nor the reverse.

    Where the interpreter lies in `/run/venv`, say, a mount there could hide it from the very runs that need it.
    """
    place, serial = PLACE, 0
    while place[1:] in taken:
        serial += 1
        place = f"{PLACE}-{serial}"
    return place


def _is_free(name: str, bound: Sequence[str]) -> bool:
    """Return whether nothing that the tree needs lies at a path or on the way; then its directory is there."""
    parent = os.path.dirname(name)
    if os.path.lexists(STAGE + name) or os.path.realpath(STAGE + parent) != STAGE + parent.rstrip("/"):
        return False
    if any(name.startswith(path + "/") for path in bound):
        return False
    os.makedirs(STAGE + parent, exist_ok=True)
    return True


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


def _bind(path: str, flags: int, seen_as: str = "") -> None:
    target = STAGE + (seen_as or path)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if stat.S_ISDIR(os.stat(path).st_mode):
        os.makedirs(target, exist_ok=True)
    else:
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
    # Recursive: in a user namespace a mount with others below it can only be bound whole.
    libc.mount(path, target, None, _MS_BIND | _MS_REC)
    set_attributes(target, flags)


def set_attributes(target: str, flags: int) -> None:
    """Set flags of a mount and of all below it. Raises OSError."""
    # The MOUNT_ATTR_ flags have the values of these MS_ flags. Linux 5.12; without it the layer is not there.
    attributes = _MountAttributes(flags, 0, 0, 0)
    libc.syscall("mount_setattr", _AT_FDCWD, os.fsencode(target), _AT_RECURSIVE, attributes, ctypes.sizeof(attributes))
