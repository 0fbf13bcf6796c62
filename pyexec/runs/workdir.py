"""A run's directory, reached by descriptor only: put files in, measure it, take files out.

Works in the server. The directory belongs to hostile code that may still be changing it: no step follows a link, opens
anything but a regular file, trusts a size, or walks without a bound. No privileged operation ever names a path inside
(CVE-2024-28185, CVE-2024-28189). Removing what a dead run leaves is up to `workdirs_on_disk`.
"""

from __future__ import annotations

import dataclasses
import errno
import os
import stat
import time
from typing import Iterator, NamedTuple, Sequence

from pyexec import rules
from pyexec.job import OutputFile
from pyexec.runs.open_below import open_below

NOT_FOUND = "File not found after execution."
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
OURS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)  # what the server itself lacks; no fault of a run
# Non-blocking: a FIFO planted at a returned name must not make the server wait.
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_SMALL_DIRECTORY = 4096  # bytes on disk, of most file systems
_DEEPEST = 64  # as many descriptors does a look take
_TICK_NS = 20_000_000  # a file's times are those of the kernel's last tick, of which there are 100 a second or more
# Of the processor, so that a slow disk is held against nobody: a thousand entries take some 5 ms.
_LONGEST_LOOK_S = 0.25


class Usage(NamedTuple):
    """What a directory holds: bytes on disk, and entries below it.

    `in_flux`: names came, went or moved during the look, or just before; so some entries may have been missed, and
    others counted twice. `vanished`: something that was listed was gone when it was its turn.
    """

    size_bytes: int
    files: int
    in_flux: bool = False
    vanished: bool = False


class _Uncountable(Exception):
    """A tree hides what is in it, or is such that counting it would hold the server up."""


def _component(name: str) -> bytes:
    """Return the name of an entry as it stands on disk, in UTF-8 whatever our locale is.

    Raises:
        ValueError: it could lead elsewhere. `rules` has refused it long before; this is the last door.
    """
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise ValueError(f"{name!r} is no name of an entry")
    return name.encode("utf-8")


def put(directory_fd: int, name: str, content: bytes, owner: tuple[int, int] | None = None) -> os.stat_result:
    """Write a new file into the directory, before the script starts, and return its status.

    Raises:
        OSError: as when the name exists. ValueError: the name is a path.
    """
    fd = os.open(_component(name), _NEW, 0o644, dir_fd=directory_fd)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(fd, view) :]
        if owner is not None:
            os.fchown(fd, *owner)
        return os.fstat(fd)
    finally:
        os.close(fd)


def collect(directory_fd: int, names: Sequence[str], longest: int) -> Iterator[OutputFile]:
    """Yield the files of these names that a run left; see `Reader.collect`."""
    return Reader(directory_fd, longest).collect(names)


class Reader:
    """Reads what a run left; what has several names is read once.

    Attributes:
        names: of what was read, the first name, by device and inode.
    """

    def __init__(self, directory_fd: int, longest: int) -> None:
        """Take the run's directory; of a file larger than `longest` bytes only the size is told."""
        self._directory_fd, self._longest = directory_fd, longest
        self._contents: dict[tuple[int, int], bytes] = {}
        self.names: dict[tuple[int, int], str] = {}

    def collect(self, names: Sequence[str]) -> Iterator[OutputFile]:
        """Yield the files of these names, or why they can't be returned. Never raises for what a run did.

        Of several spellings of one path the first counts.

        Args:
            names: relative paths without "..", as checked by `rules`.

        Raises:
            OSError: the server has no descriptor or memory left. ValueError: a name leads out of the directory.
        """
        spelled: dict[str, str] = {}
        for name in names:
            # As given, if it can't be brought into shape: then it is refused below.
            spelled.setdefault(name if name.startswith("/") else rules.canonical(name), name)
        for path, name in spelled.items():
            yield dataclasses.replace(self._collect(path), name=name)

    def _collect(self, name: str) -> OutputFile:
        parts = _parts(name)
        try:
            return self._read(parts, name)
        except OSError as error:
            if error.errno in OURS:
                raise
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
                return OutputFile(name, error=NOT_FOUND)
            if error.errno in (errno.ELOOP, errno.ENXIO):
                return OutputFile(name, error="Not a regular file.")
            return OutputFile(name, error=f"Could not be read: {error.strerror or 'unknown error'}.")

    def _read(self, parts: list[bytes], name: str) -> OutputFile:
        where = _descend(self._directory_fd, parts[:-1])
        try:
            fd = open_below(parts[-1], FILE, where)
        finally:
            os.close(where)
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                return OutputFile(name, error="Not a regular file.")
            if status.st_size > self._longest:
                reason = f"File is too large: {status.st_size} bytes, at most {self._longest} can be returned."
                return OutputFile(name, size_bytes=status.st_size, error=reason)
            identity = (status.st_dev, status.st_ino)
            if identity not in self._contents:
                self._contents[identity] = read_capped(fd, self._longest)
                self.names[identity] = name
        finally:
            os.close(fd)
        return OutputFile(name, self._contents[identity], len(self._contents[identity]))


def is_file(directory_fd: int, name: str) -> bool:
    """Return whether a checked name is that of a regular file. Raises OSError, ValueError as `Reader.collect`."""
    parts = _parts(name)
    try:
        where = _descend(directory_fd, parts[:-1])
        try:
            return stat.S_ISREG(os.stat(parts[-1], dir_fd=where, follow_symlinks=False).st_mode)
        finally:
            os.close(where)
    except OSError as error:
        if error.errno in OURS:
            raise
        return False


def _parts(name: str) -> list[bytes]:
    return [b"."] if name == "." else [_component(part) for part in name.split("/")]


def read_capped(fd: int, longest: int) -> bytes:
    """Return at most `longest` bytes from the start of a file, however it changes meanwhile."""
    parts: list[bytes] = []
    place = 0
    while place < longest:
        part = os.pread(fd, min(longest - place, 1 << 23), place)
        if not part:
            break
        parts.append(part)
        place += len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def usage(directory_fd: int, most_files: int) -> Usage:
    """Return how much a directory holds; stops counting past `most_files` entries.

    What hides its content counts as too many files: a directory that the server can't look into, a tree deeper than 64
    directories, and one that takes fifty times as long to walk as the largest honest one. Directories cost nothing up
    to 4 KiB each, as on a tmpfs, where a directory has no blocks.

    Raises:
        OSError: the server has no descriptor or memory left to look with; then nothing is known.
    """
    walk = _Walk(most_files)
    least_files = 0
    try:
        walk.all_below(directory_fd)
    except (_Uncountable, PermissionError):
        least_files = most_files + 1
    finally:
        walk.close()
    return Usage(walk.size_bytes, max(walk.files, least_files), walk.is_in_flux(), walk.vanished)


class _Walk:
    """One look at a tree that may be changing, through a stack of descriptors: no path is walked twice.

    What moves changes the times of the directory that it leaves and of the one that it enters. So if no directory has
    changed from the start of the look until it was left, everything has been seen, and once.
    """

    def __init__(self, most_files: int) -> None:
        self.size_bytes = self.files = 0
        self.vanished = False
        self._settled_ns, self._changed_ns = time.time_ns() - _TICK_NS, 0
        self._most_files = most_files
        self._linked: set[tuple[int, int]] = set()  # files of several names that have been counted
        self._deadline_s = time.thread_time() + _LONGEST_LOOK_S
        self._stack: list[tuple[int, list[str]]] = []  # open directories, each with those in it yet to be entered

    def all_below(self, directory_fd: int) -> None:
        """Count. Raises _Uncountable, PermissionError; OSError as `usage` does."""
        self._count(os.dup(directory_fd))
        while self._stack:
            here, inner = self._stack[-1]
            if not inner:
                self._leave()
                continue
            if len(self._stack) > _DEEPEST:
                raise _Uncountable
            try:
                below = open_below(inner.pop(), DIRECTORY, here)
            except PermissionError:
                raise
            except OSError as error:
                if error.errno in OURS:
                    raise
                self.vanished = True  # gone, or replaced, between two looks
                continue
            self._count(below)

    def _count(self, directory_fd: int) -> None:
        inner: list[str] = []
        self._stack.append((directory_fd, inner))
        with os.scandir(directory_fd) as entries:
            for entry in entries:
                try:
                    status = entry.stat(follow_symlinks=False)
                except PermissionError:  # it may be listed, and no more
                    raise
                except OSError:
                    self.vanished = True
                    continue
                self.files += 1
                which = (status.st_dev, status.st_ino)
                if stat.S_ISDIR(status.st_mode):
                    inner.append(entry.name)
                    # One that held many names stays large.
                    self.size_bytes += max(0, status.st_blocks * 512 - _SMALL_DIRECTORY)
                elif which not in self._linked:
                    self.size_bytes += status.st_blocks * 512
                    if status.st_nlink > 1:
                        self._linked.add(which)
                if self.files > self._most_files or time.thread_time() > self._deadline_s:
                    raise _Uncountable

    def is_in_flux(self) -> bool:
        """Return whether names have changed, as far as directories have been left. No script can set a ctime."""
        return self.vanished or self._changed_ns >= self._settled_ns

    def _leave(self) -> None:
        directory_fd = self._stack.pop()[0]
        try:
            self._changed_ns = max(self._changed_ns, os.fstat(directory_fd).st_ctime_ns)
        finally:
            os.close(directory_fd)

    def close(self) -> None:
        """Give back what is open."""
        while self._stack:
            self._leave()


def full(directory_fd: int) -> str:
    """Return what a run's own file system has none left of: "disk", "files", or "" for neither. Raises OSError."""
    room = os.fstatvfs(directory_fd)
    if room.f_blocks and not room.f_bfree:
        return "disk"
    return "files" if room.f_files and not room.f_ffree else ""


def _descend(directory_fd: int, path: Sequence[bytes]) -> int:
    """Return a descriptor of a directory below, entered step by step without following a link. Raises OSError."""
    where = os.dup(directory_fd)
    for part in path:
        try:
            inner = open_below(part, DIRECTORY, where)
        finally:
            os.close(where)
        where = inner
    return where
