"""A run's directory, reached by descriptor only: put files in, measure it, take files out, remove it.

Works in the server. The directory belongs to hostile code that may still be changing it: no step follows a link, opens
anything but a regular file, trusts a size, or walks without a bound. No privileged operation ever names a path inside
(CVE-2024-28185, CVE-2024-28189).
"""

from __future__ import annotations

import collections
import contextlib
import errno
import fcntl
import itertools
import os
import stat
import sys
import tempfile
import time
from typing import Deque, Iterator, List, NamedTuple, Optional, Tuple

from pyexec.job import OutputFile

NOT_FOUND = "File not found after execution."
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DYING_S = 5.0
_OURS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)  # what the server itself lacks; no fault of a run
# Non-blocking: a FIFO planted at a returned name must not make the server wait.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


class Usage(NamedTuple):
    """What a directory holds: bytes on disk, and entries below it."""

    size_bytes: int
    files: int


def put(directory_fd: int, name: str, content: bytes, owner: Optional[Tuple[int, int]] = None) -> None:
    """Write a new file into the directory, before the script starts. Raises OSError if the name exists."""
    fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644, dir_fd=directory_fd)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(fd, view) :]
        if owner is not None:
            os.fchown(fd, *owner)
    finally:
        os.close(fd)


def collect(directory_fd: int, name: str, longest: int) -> OutputFile:
    """Return the content of a file that the run left, or why it can't be returned. Never raises for what a run did.

    Args:
        name: a relative path without "..", as checked by the contract.
        longest: bytes; a larger file is reported with its size only.

    Raises:
        OSError: the server has no descriptor or memory left.
    """
    try:
        return _collect(directory_fd, name, longest)
    except OSError as error:
        if error.errno in _OURS:
            raise
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
            return OutputFile(name, error=NOT_FOUND)
        if error.errno in (errno.ELOOP, errno.ENXIO):
            return OutputFile(name, error="Not a regular file.")
        return OutputFile(name, error="Could not be read: %s." % (error.strerror or "unknown error"))


def _collect(directory_fd: int, name: str, longest: int) -> OutputFile:
    *parents, last = [part for part in name.split("/") if part not in ("", ".")] or ["."]
    where = _descend(directory_fd, tuple(parents))
    try:
        fd = os.open(last, _FILE, dir_fd=where)
    finally:
        os.close(where)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            return OutputFile(name, error="Not a regular file.")
        if status.st_size > longest:
            reason = "File is too large: %d bytes, at most %d can be returned." % (status.st_size, longest)
            return OutputFile(name, size_bytes=status.st_size, error=reason)
        content = read_capped(fd, longest)
    finally:
        os.close(fd)
    return OutputFile(name, content, len(content))


def read_capped(fd: int, longest: int) -> bytes:
    """Return at most `longest` bytes from the start of a file, however it changes meanwhile."""
    parts: List[bytes] = []
    place = 0
    while place < longest:
        part = os.pread(fd, min(longest - place, 1 << 23), place)
        if not part:
            break
        parts.append(part)
        place += len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def usage(directory_fd: int, most_files: int) -> Usage:
    """Return how much a directory holds; stops counting past `most_files` entries."""
    size = files = 0
    for status in _walk(directory_fd, most_files + 1):
        size += status.st_blocks * 512
        files += 1
    return Usage(size, files)


def _walk(directory_fd: int, most: int) -> Iterator[os.stat_result]:
    """Yield the status of the entries of a tree, at most `most`, however deep; what vanishes is passed over.

    A directory that the server can't look into counts as all the entries that are left: it hides them.

    Raises:
        OSError: the server has no descriptor or memory left to look with; then nothing is known.
    """
    waiting: List[Tuple[str, ...]] = [()]
    while waiting:
        path = waiting.pop()
        try:
            here = _descend(directory_fd, path)
        except PermissionError:
            yield from itertools.repeat(os.fstat(directory_fd), most)
            return
        except OSError as error:
            if error.errno in _OURS:
                raise
            continue  # gone, or replaced, between two looks
        try:
            with os.scandir(here) as entries:
                for entry in entries:
                    try:
                        status = entry.stat(follow_symlinks=False)
                    except PermissionError:  # it may be listed, and no more
                        yield from itertools.repeat(os.fstat(directory_fd), most)
                        return
                    except OSError:
                        continue
                    if stat.S_ISDIR(status.st_mode):
                        waiting.append(path + (entry.name,))
                    yield status
                    most -= 1
                    if most <= 0:
                        return
        finally:
            os.close(here)


def _descend(directory_fd: int, path: Tuple[str, ...]) -> int:
    """Return a descriptor of a directory below, entered step by step without following a link. Raises OSError."""
    where = os.dup(directory_fd)
    for part in path:
        try:
            inner = os.open(part, _DIRECTORY, dir_fd=where)
        finally:
            os.close(where)
        where = inner
    return where


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
