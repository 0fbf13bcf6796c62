"""A run's directory, reached by descriptor only: put files in, measure it, take files out.

Works in the server. The directory belongs to hostile code that may still be changing it: no step follows a link, opens
anything but a regular file, trusts a size, or walks without a bound. No privileged operation ever names a path inside
(CVE-2024-28185, CVE-2024-28189). What a dead run leaves is the business of `base`.
"""

from __future__ import annotations

import errno
import itertools
import os
import stat
from typing import Iterator, List, NamedTuple, Optional, Tuple

from pyexec.job import OutputFile

NOT_FOUND = "File not found after execution."
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
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
