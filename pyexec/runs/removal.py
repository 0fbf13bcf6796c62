"""Removal of what a dead run left on disk: expects any depth, modes and names, and follows no link.

Goes one level at a time and moves deeper directories up to the top, so that depth costs neither stack nor descriptors.
Runs in the server and works by descriptor: it never names a path inside the tree.
"""

from __future__ import annotations

import os

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(parent_fd: int, name: str) -> None:
    """Remove a dead run's directory with everything in it, however deep; it may be missing.

    Raises:
        OSError: something could not be removed.
    """
    try:
        _make_accessible(parent_fd, name)
        top = os.open(name, _DIRECTORY, dir_fd=parent_fd)
    except FileNotFoundError:
        return
    try:
        serial = 0
        while True:
            with os.scandir(top) as entries:
                names = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
            if not names:
                break
            for entry_name, is_directory in names:
                if not is_directory:
                    os.unlink(entry_name, dir_fd=top)
                    continue
                serial = _lift(top, entry_name, serial)
                os.rmdir(entry_name, dir_fd=top)
    finally:
        os.close(top)
    os.rmdir(name, dir_fd=parent_fd)


def _make_accessible(directory_fd: int, name: str) -> None:
    """Restore permissions that a script may have removed from a directory, as its owner can.

    Uses a descriptor that can't refer to a link: chmod by name would follow a link put in the directory's place.
    """
    fd = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory_fd)
    try:
        os.chmod(f"/proc/self/fd/{fd}", 0o700)
    finally:
        os.close(fd)


def _lift(top: int, name: str, serial: int) -> int:
    """Empty one directory: unlink its files, move its directories up to `top`; return the next free serial number."""
    _make_accessible(top, name)
    here = os.open(name, _DIRECTORY, dir_fd=top)
    try:
        with os.scandir(here) as entries:
            names = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        for entry_name, is_directory in names:
            if not is_directory:
                os.unlink(entry_name, dir_fd=here)
                continue
            while True:
                serial += 1
                target = f".pyexec-{serial}"
                try:
                    os.stat(target, dir_fd=top, follow_symlinks=False)
                except FileNotFoundError:
                    break
            _make_accessible(here, entry_name)
            os.rename(entry_name, target, src_dir_fd=here, dst_dir_fd=top)
    finally:
        os.close(here)
    return serial
