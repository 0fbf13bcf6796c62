"""The directory that holds the runs' directories where no tmpfs can be mounted, and their removal.

Works in the server. It makes the directories, and what is left of them at the end is found by what it made; how a tree
is removed that hostile code has filled is the business of `removal`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
import stat
import time

from pyexec import log
from pyexec.runs import workdir
from pyexec.runs.removal import remove_tree

_NAME = re.compile(r"pyexec-[0-9a-f]{32}\Z")
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DYING_S = 5.0


class RunDirectory:
    """One run's directory on disk, by descriptor: all of it, and the part that the script works in."""

    PARTS = ("work", "tmp", "home")

    def __init__(self, name: str, path: str, fd: int, owner: tuple[int, int] | None) -> None:
        """Fill a new directory and give it to its owner. Raises OSError."""
        self.name, self.path, self.fd = name, path, fd
        for part in self.PARTS:
            os.mkdir(part, 0o700, dir_fd=fd)
            if owner is not None:
                os.chown(part, *owner, dir_fd=fd, follow_symlinks=False)
        if owner is not None:
            os.fchown(fd, *owner)
        self.work_fd = os.open(self.PARTS[0], _DIRECTORY, dir_fd=fd)

    def close(self) -> None:
        """Give back the descriptors. Nothing is removed."""
        for fd in (self.work_fd, self.fd):
            if fd >= 0:
                os.close(fd)
        self.work_fd = self.fd = -1


class Base:
    """The directory that holds the runs' directories, where no tmpfs can be mounted.

    Locked while its server lives: at its start a server removes those that a killed one left behind. It knows them by
    their mark, a file that names the very directory it lies in, so that nothing else is ever taken for one: neither an
    unpacked archive of ours nor a copy of such a directory. The server makes a run's directory before it orders the
    child, and knows of it before it exists: whatever lies here and isn't known is left over, and `sweep` removes it.
    """

    PREFIX = "pyexec-"
    MARK = "made-by-pyexec"

    def __init__(self, parent: str) -> None:
        """Make the base below `parent`. Raises OSError."""
        self._parent = os.path.abspath(parent)
        self._owned: set[str] = {self.MARK}  # the names of what lies here and is to stay
        self.left = False  # whether there may be something for `sweep`
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

    def make(self, owner: tuple[int, int] | None) -> RunDirectory:
        """Make a run's directory, which belongs to these ids; its name can't be guessed by another run.

        Landlock doesn't hide what `stat` tells of a file whose path is known.

        Raises:
            OSError: the disk is full, perhaps. What has been made goes with the next sweep.
        """
        name = secrets.token_hex(16)
        self._owned.add(name)  # before it exists, or a sweep could take it for one that was left
        try:
            os.mkdir(name, 0o700, dir_fd=self._fd)
            fd = os.open(name, _DIRECTORY, dir_fd=self._fd)
            try:
                return RunDirectory(name, os.path.join(self.path, name), fd, owner)
            except BaseException:
                os.close(fd)
                raise
        except BaseException:
            self._owned.discard(name)
            self.left = True
            raise

    def remove(self, directory: RunDirectory) -> None:
        """Remove the directory of a run that is all dead; what can't be removed now goes with a later sweep."""
        try:
            remove_tree(self._fd, directory.name)
        except OSError as error:
            # Not raised: an answer may be on its way out.
            log.say(f"what a run left could not be removed: {error!r}")
            self.left = True
        finally:
            self._owned.discard(directory.name)

    def sweep(self) -> None:
        """Remove what lies here and belongs to no run. It may be called at any time, by one thread."""
        if not self.left:
            return
        self.left = False
        with os.scandir(self._fd) as entries:
            names = [entry.name for entry in entries]
        for name in names:
            # Looked up after it was seen: a directory is owned before it exists.
            if name not in self._owned:
                try:
                    remove_tree(self._fd, name)
                except OSError:
                    self.left = True

    def close(self) -> None:
        """Remove the base with all that is in it; somebody may have done so before. Raises OSError."""
        with contextlib.suppress(FileNotFoundError):
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
