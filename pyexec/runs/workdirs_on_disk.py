"""The directory that holds the runs' directories where no tmpfs can be mounted.

Runs in the server, which creates each run's directory before it orders the child, and so knows all that should be
there: anything else is left over. `removal` deletes a tree that hostile code has filled.
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
    """One run's directory on disk, by descriptor: the whole, and the part in which the script runs."""

    PARTS = ("work", "tmp", "home")

    def __init__(self, name: str, path: str, fd: int, owner: tuple[int, int] | None) -> None:
        """Create the parts of a new directory and give them to their owner. Raises OSError."""
        self.name, self.path, self.fd = name, path, fd
        for part in self.PARTS:
            os.mkdir(part, 0o700, dir_fd=fd)
            if owner is not None:
                os.chown(part, *owner, dir_fd=fd, follow_symlinks=False)
        if owner is not None:
            os.fchown(fd, *owner)
        self.work_fd = os.open(self.PARTS[0], _DIRECTORY, dir_fd=fd)

    def close(self) -> None:
        """Close the descriptors. Removes nothing."""
        for fd in (self.work_fd, self.fd):
            if fd >= 0:
                os.close(fd)
        self.work_fd = self.fd = -1


class Base:
    """The directory that holds the runs' directories, where no tmpfs can be mounted.

    It is locked as long as its server lives: at its start a server removes those that killed servers left behind. It
    recognizes them by their mark, a file that names the very directory it is in, so that nothing else, neither an
    unpacked source archive nor a copy of such a directory, is ever taken for one. The name of a run's directory is
    recorded before the directory exists: whatever is here and not recorded is left over, and `sweep` removes it.
    """

    PREFIX = "pyexec-"
    MARK = "made-by-pyexec"

    def __init__(self, parent: str) -> None:
        """Create the base in `parent`. Raises OSError."""
        self._parent = os.path.abspath(parent)
        self._owned: set[str] = {self.MARK}  # the names of entries to keep
        self.left = False  # whether `sweep` may have something to do
        self._remove_abandoned()
        self.path = os.path.join(self._parent, self.PREFIX + secrets.token_hex(16))
        os.mkdir(self.path, 0o700)
        self._fd = os.open(self.path, _DIRECTORY)
        try:
            # Locked before it is marked: a marked base without a lock belongs to a server that has ended.
            fcntl.flock(self._fd, fcntl.LOCK_EX)
            workdir.put(self._fd, self.MARK, _mark(self._fd, os.path.basename(self.path)))
            # Runs with their own uid must pass through it to their directory, but may not list it.
            os.fchmod(self._fd, 0o711)
        except OSError:  # such as a full disk, with no room for the mark
            self.close()
            raise

    @property
    def fd(self) -> int:
        """A descriptor for it."""
        return self._fd

    def make(self, owner: tuple[int, int] | None) -> RunDirectory:
        """Create a run's directory, owned by this uid and gid; other runs can't guess its name.

        They must not: Landlock doesn't keep them from calling `stat` on a path that they know.

        Raises:
            OSError: the disk is full, perhaps. The next sweep removes what had been created.
        """
        name = secrets.token_hex(16)
        self._owned.add(name)  # before it exists, or a sweep could take it for a leftover
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
        """Remove the directory of a run that is dead; a later sweep removes what can't be removed now."""
        try:
            remove_tree(self._fd, directory.name)
        except OSError as error:
            # Not raised: a response may be on its way out.
            log.say(f"a run's directory could not be removed: {error!r}")
            self.left = True
        finally:
            self._owned.discard(directory.name)

    def sweep(self) -> None:
        """Remove everything here that belongs to no run. May be called at any time, by one thread."""
        if not self.left:
            return
        self.left = False
        with os.scandir(self._fd) as entries:
            names = [entry.name for entry in entries]
        for name in names:
            # Checked after it was listed: a directory is recorded before it exists.
            if name not in self._owned:
                try:
                    remove_tree(self._fd, name)
                except OSError:
                    self.left = True

    def close(self) -> None:
        """Remove the base with everything in it; it may be gone already. Raises OSError."""
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
                    # Last, so that the next start recognizes what a failure leaves here.
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(self.MARK, dir_fd=fd)
                    return os.rmdir(name, dir_fd=parent_fd)
                except OSError as error:
                    # A dying child may have created something after we looked.
                    if error.errno != errno.ENOTEMPTY or time.monotonic() > deadline:
                        raise
        finally:
            os.close(parent_fd)
            os.close(fd)

    def _remove_abandoned(self) -> None:
        """Remove our uid's marked bases that no running server has locked."""
        with os.scandir(self._parent) as entries:
            names = [entry.name for entry in entries if _NAME.match(entry.name)]
        for name in names:
            try:
                fd = os.open(os.path.join(self._parent, name), _DIRECTORY)
            except OSError:
                continue  # another user's, or not a directory: not ours to remove
            try:
                if not _is_ours(fd, name):
                    raise BlockingIOError
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:  # its server is running, or it isn't a base
                os.close(fd)
                continue
            try:
                self._remove(name, fd)
            except OSError as error:
                log.say(f"could not remove {name} of an earlier server: {error}")


def _mark(fd: int, name: str) -> bytes:
    """Return the content of a base's mark, which says what directory it was made for."""
    text = "The directories of pyexec's runs; pyexec removes %s, inode %d, when it starts again.\n"
    return (text % (name, os.fstat(fd).st_ino)).encode("ascii")


def _is_ours(fd: int, name: str) -> bool:
    """Return whether a directory with this name is a base created by a server with our uid."""
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
