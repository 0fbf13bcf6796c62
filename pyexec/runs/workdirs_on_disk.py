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
import re
import secrets
import stat
import time
from typing import Deque

from pyexec import log
from pyexec.runs import workdir

_NAME = re.compile(r"pyexec-[0-9a-f]{32}\Z")
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

    Locked while its server lives: at its start a server removes those that a killed one left behind. It knows them by
    their mark, a file that names the very directory it lies in, so that nothing else is ever taken for one: neither an
    unpacked archive of ours nor a copy of such a directory.
    """

    PREFIX = "pyexec-"
    MARK = "made-by-pyexec"

    def __init__(self, parent: str) -> None:
        """Make the base below `parent`. Raises OSError."""
        self._parent = os.path.abspath(parent)
        self._left: Deque[str] = collections.deque()  # runs' directories whose removal failed, to be tried again
        self._remove_abandoned()
        self.path = os.path.join(self._parent, self.PREFIX + secrets.token_hex(16))
        os.mkdir(self.path, 0o700)
        self._fd = os.open(self.path, _DIRECTORY)
        try:
            # The lock comes before the mark: whoever finds a mark without a lock finds a server that has ended.
            fcntl.flock(self._fd, fcntl.LOCK_EX)
            workdir.put(self._fd, self.MARK, _mark(self._fd, os.path.basename(self.path)))
            # Runs under a uid of their own must pass through it to their directory, and may not list it.
            os.fchmod(self._fd, 0o711)
        except OSError:  # on a full disk perhaps, where there was no room for the mark
            self.close()
            raise

    @property
    def fd(self) -> int:
        """A descriptor of it."""
        return self._fd

    def new_path(self) -> str:
        """Return a path for the directory of a run, which no other run can guess.

        Landlock doesn't hide what `stat` tells of a file whose path is known.
        """
        return os.path.join(self.path, secrets.token_hex(16))

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
                    names = [entry.name for entry in entries if entry.name != self.MARK]
                try:
                    for inner in names:
                        remove_tree(fd, inner)
                    # Last, so that what a failure leaves here is known at the next start.
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(self.MARK, dir_fd=fd)
                    return os.rmdir(name, dir_fd=parent_fd)
                except OSError as error:
                    # A child that is just dying may have made something after we looked.
                    if error.errno != errno.ENOTEMPTY or time.monotonic() > deadline:
                        raise
        finally:
            os.close(parent_fd)
            os.close(fd)

    def _remove_abandoned(self) -> None:
        """Remove the bases of our uid that bear our mark and that nobody holds the lock of."""
        with os.scandir(self._parent) as entries:
            names = [entry.name for entry in entries if _NAME.match(entry.name)]
        for name in names:
            try:
                fd = os.open(os.path.join(self._parent, name), _DIRECTORY)
            except OSError:
                continue  # another user's, or no directory: not ours to remove
            try:
                if not _is_ours(fd, name):
                    raise BlockingIOError
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:  # its server lives, or it was no server's
                os.close(fd)
                continue
            try:
                self._remove(name, fd)
            except OSError as error:
                log.say(f"could not remove {name} of an earlier server: {error}")


def _mark(fd: int, name: str) -> bytes:
    """Return what the mark of a base says: which directory it was made for."""
    text = "The directories of pyexec's runs; pyexec removes %s, inode %d, when it starts again.\n"
    return (text % (name, os.fstat(fd).st_ino)).encode("ascii")


def _is_ours(fd: int, name: str) -> bool:
    """Return whether a directory of this name is a base that a server of our uid made."""
    status = os.fstat(fd)
    # Where others may write, the mark proves nothing.
    if status.st_uid != os.geteuid() or status.st_mode & 0o022:
        return False
    try:
        mark = os.open(Base.MARK, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=fd)
    except OSError:
        return False
    try:
        found = os.fstat(mark)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            return False
        expected = _mark(fd, name)
        return workdir.read_capped(mark, len(expected) + 1) == expected
    finally:
        os.close(mark)
