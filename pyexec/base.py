"""The directory that holds the runs' directories where no tmpfs can be mounted, and their removal.

Works in the server. What is removed was filled by hostile code that is dead by then: any depth, rights and names are to
be expected, and no link is followed.
"""

from __future__ import annotations

import collections
import contextlib
import errno
import fcntl
import os
import sys
import tempfile
import time
from typing import Deque

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DYING_S = 5.0


def remove_tree(parent_fd: int, name: str) -> None:
    """Remove a directory that a dead run left, with all that is in it, however deep; a missing one is no error.

    Raises:
        OSError: something could not be removed.
    """
    # One level at a time, bringing what lies deeper up to the top, so that depth costs neither stack nor descriptors.
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
    """Give a directory back the rights that a script may have taken from it; owning it, we may.

    By a descriptor that can't be a link's: chmod by name would follow one that took the directory's place.
    """
    fd = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory_fd)
    try:
        os.chmod("/proc/self/fd/%d" % fd, 0o700)
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
                target = ".pyexec-%d" % serial
                try:
                    os.stat(target, dir_fd=top, follow_symlinks=False)
                except FileNotFoundError:
                    break
            _make_accessible(here, entry_name)
            os.rename(entry_name, target, src_dir_fd=here, dst_dir_fd=top)
    finally:
        os.close(here)
    return serial


class Base:
    """The directory that holds the runs' directories, where no tmpfs can be mounted.

    Locked while its server lives: at its start a server removes those that a killed one left behind.
    """

    PREFIX = "pyexec-"

    def __init__(self, parent: str) -> None:
        """Make the base below `parent`. Raises OSError."""
        self._parent = os.path.abspath(parent)
        self._left: Deque[str] = collections.deque()  # runs' directories whose removal failed, to be tried again
        self._remove_abandoned()
        while True:
            self.path = tempfile.mkdtemp(prefix=self.PREFIX, dir=self._parent)
            with contextlib.suppress(FileNotFoundError):
                # Runs under a uid of their own must pass through it to their directory, and may not list it.
                os.chmod(self.path, 0o711)
                self._fd = os.open(self.path, _DIRECTORY)
                fcntl.flock(self._fd, fcntl.LOCK_EX)
                if os.fstat(self._fd).st_nlink:
                    return
                os.close(self._fd)
            # A server that was starting at the same moment took it for abandoned, since it wasn't locked yet.

    def path_of(self, name: str) -> str:
        """Return the path of the run directory with this name."""
        return os.path.join(self.path, name)

    def remove(self, name: str) -> None:
        """Remove a run's directory, else keep it in mind for later. Raises OSError."""
        try:
            remove_tree(self._fd, name)
        except OSError:
            self._left.append(name)
            raise
        if self._left:
            self._remove_one_left()

    def _remove_one_left(self) -> None:
        try:
            name = self._left.popleft()
        except IndexError:  # another thread has it
            return
        try:
            remove_tree(self._fd, name)
        except OSError:  # told when it failed first
            self._left.append(name)

    def close(self) -> None:
        """Remove the base with all that is in it. Raises OSError."""
        self._remove(os.path.basename(self.path), self._fd)

    def _remove(self, name: str, fd: int) -> None:
        parent_fd = os.open(self._parent, _DIRECTORY)
        deadline = time.monotonic() + _DYING_S
        try:
            while True:
                with os.scandir(fd) as entries:
                    names = [entry.name for entry in entries]
                try:
                    for inner in names:
                        remove_tree(fd, inner)
                    return os.rmdir(name, dir_fd=parent_fd)
                except OSError as error:
                    # A child that is just dying may have made something after we looked.
                    if error.errno != errno.ENOTEMPTY or time.monotonic() > deadline:
                        raise
        finally:
            os.close(parent_fd)
            os.close(fd)

    def _remove_abandoned(self) -> None:
        """Remove the bases of our uid that nobody holds the lock of."""
        with os.scandir(self._parent) as entries:
            names = [entry.name for entry in entries if entry.name.startswith(self.PREFIX)]
        for name in names:
            try:
                fd = os.open(os.path.join(self._parent, name), _DIRECTORY)
            except OSError:
                continue  # another user's, or no directory: not ours to remove
            try:
                if os.fstat(fd).st_uid != os.geteuid():
                    raise BlockingIOError
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:  # its server lives
                os.close(fd)
                continue
            try:
                self._remove(name, fd)
            except OSError as error:
                print(
                    "pyexec: could not remove %s of an earlier server: %s" % (name, error), file=sys.stderr, flush=True
                )
