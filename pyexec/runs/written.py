"""What a run wrote: every regular file that it created or changed, found from outside once it can change no more.

Works in the server. The tree belongs to hostile code: the walk follows no link, and has a bound for entries, depth and
processor time. Whatever lies beyond these isn't named, and the answer says so.
"""

from __future__ import annotations

import os
import time
from typing import Iterator, Mapping, NamedTuple, Sequence

from pyexec.job import SCRIPT_NAME, Job, OutputFile, WrittenFile
from pyexec.patterns import STAR, Pattern
from pyexec.rules import canonical
from pyexec.runs import workdir
from pyexec.runs.open_below import open_below

MOST_NAMED = 100  # in `files_written`, and of what a pattern matched beyond what is returned
_MOST_ENTRIES = 1000
_FEW_ENTRIES = 4  # as most runs leave; asking for a thread's time is a call of the kernel
_DEEPEST = 64
_LONGEST_S = 0.25  # of the processor, so that a slow disk is held against nobody
_LARGE = 1 << 20  # bytes of an attachment


class Placed(NamedTuple):
    """A file that the server put into the directory, as it was when the script began."""

    status: os.stat_result
    content: bytes


class Found(NamedTuple):
    """A file that the run created or changed. `name` is None if it isn't UTF-8 and so can't be asked for."""

    directory: tuple[str, ...]
    name: str | None
    shown: str
    size_bytes: int
    identity: tuple[int, int]

    @property
    def path(self) -> str:
        """The path from the run's directory, with what isn't UTF-8 replaced."""
        return "/".join((*self.directory, self.shown))


class Walk:
    """One walk through a run's directory.

    Attributes:
        files: those at the top first, then by directory, then by name. complete: nothing was left out.
    """

    def __init__(self, directory_fd: int, placed: Mapping[str, Placed]) -> None:
        """Look at everything. Raises OSError: the server has no descriptor or memory left."""
        self.files: list[Found] = []
        self.complete = True
        self._placed, self._entries = placed, 0
        self._deadline_s = 0.0
        self._visit(directory_fd, (), askable=True)
        self.files.sort(key=lambda file: (file.directory, file.shown))

    def late(self) -> bool:
        """Return whether time is up; what was found so far is then all there is. The first call starts the clock."""
        now_s = time.thread_time()
        self._deadline_s = self._deadline_s or now_s + _LONGEST_S
        if now_s <= self._deadline_s:
            return False
        self.complete = False
        return True

    def _visit(self, directory_fd: int, directory: tuple[str, ...], askable: bool) -> None:
        below: list[str] = []
        try:
            with os.scandir(directory_fd) as entries:
                for entry in entries:
                    self._entries += 1
                    if self._entries > _MOST_ENTRIES or (self._entries > _FEW_ENTRIES and self.late()):
                        self.complete = False
                        return
                    if entry.is_dir(follow_symlinks=False):
                        below.append(entry.name)
                    elif entry.is_file(follow_symlinks=False):
                        self._file(directory_fd, directory, entry, askable)
        except OSError as error:
            self._unseen(error)
        for name in below:
            self._enter(directory_fd, directory, name, askable)

    def _enter(self, directory_fd: int, directory: tuple[str, ...], name: str, askable: bool) -> None:
        if len(directory) == _DEEPEST:
            self.complete = False
            return
        try:
            inner = open_below(name, workdir.DIRECTORY, directory_fd)
        except OSError as error:
            self._unseen(error)
            return
        shown, is_utf8 = _shown(name)
        try:
            self._visit(inner, (*directory, shown), askable and is_utf8)
        finally:
            os.close(inner)

    def _unseen(self, error: OSError) -> None:
        if error.errno in workdir.OURS:
            raise error
        self.complete = False

    def _file(self, directory_fd: int, directory: tuple[str, ...], entry: os.DirEntry[str], askable: bool) -> None:
        if not directory and entry.name == SCRIPT_NAME:
            return
        status = entry.stat(follow_symlinks=False)
        if not directory and self._is_as_placed(directory_fd, entry.name, status):
            return
        shown, is_utf8 = _shown(entry.name)
        name = shown if askable and is_utf8 else None
        self.files.append(Found(directory, name, shown, status.st_size, (status.st_dev, status.st_ino)))

    def _is_as_placed(self, directory_fd: int, name: str, status: os.stat_result) -> bool:
        placed = self._placed.get(_shown(name)[0])
        if placed is None or _mark(placed.status) != _mark(status):
            return False
        # A change within the same tick of the kernel's clock leaves the same times, and one through a mapping of a
        # tmpfs leaves none at all. A large file isn't read again for that: putting it there has taken some ticks.
        if len(placed.content) > _LARGE:
            return True
        try:
            fd = os.open(name, workdir.FILE, dir_fd=directory_fd)
        except OSError as error:
            if error.errno in workdir.OURS:
                raise
            return False
        try:
            return workdir.read_capped(fd, _LARGE) == placed.content
        finally:
            os.close(fd)


def _mark(status: os.stat_result) -> tuple[int, int, int, int]:
    """Return what no script can set back: ctime is the kernel's own."""
    return status.st_dev, status.st_ino, status.st_size, status.st_ctime_ns


def _shown(name: str) -> tuple[str, bool]:
    """Return the name of an entry as text, whatever our locale is, and whether it is UTF-8."""
    raw = os.fsencode(name)
    try:
        return raw.decode("utf-8"), True
    except UnicodeDecodeError:
        return raw.decode("utf-8", "replace"), False


def named(walk: Walk) -> tuple[tuple[WrittenFile, ...], bool]:
    """Return what a run wrote, at most 100 files, and whether there may be more."""
    files = tuple(WrittenFile(file.path, file.size_bytes) for file in walk.files[:MOST_NAMED])
    return files, not walk.complete or len(walk.files) > MOST_NAMED


def collect(directory_fd: int, job: Job, walk: Walk, longest: int, most: int) -> Iterator[OutputFile]:
    """Yield the files that a job asks for: those named first, then those that its patterns match, in their order.

    An entry that names an existing file is that file, stars or not. A file that several patterns match, or that has
    several names, counts once. Never raises for what a run did.

    Args:
        longest: bytes; only the size of a larger file is told. most: files in all; what patterns match beyond, up to
            a hundred, is named with an error.

    Raises:
        OSError: the server has no descriptor or memory left. ValueError: a name leads out of the directory.
    """
    names: list[str] = []
    patterns: list[Pattern] = []
    for name in job.return_files:
        path = name if name.startswith("/") else canonical(name)
        if STAR in path and not workdir.is_file(directory_fd, path):
            patterns.append(Pattern(path))
        else:
            names.append(name)
    reader = workdir.Reader(directory_fd, longest)
    seen: set[str] = set()
    count = errors = 0
    for file in reader.collect(names):
        seen.add(canonical(file.name))
        count += file.content is not None
        yield file
    for found in _matching(patterns, walk):
        path = found.path
        if path in seen:
            continue
        same = reader.names.get(found.identity)
        if same is not None:
            reason = f"The same file as '{same}', which is returned."
        elif count < most:
            (file,) = reader.collect([path])
            if file.content is not None:
                count += 1
                yield file
                continue
            reason = file.error or workdir.NOT_FOUND
        else:
            reason = f"At most {most} files can be returned; ask for this one by its name."
        if errors == MOST_NAMED:
            return
        errors += 1
        yield OutputFile(path, size_bytes=found.size_bytes, error=reason)


def _matching(patterns: Sequence[Pattern], walk: Walk) -> Iterator[Found]:
    """Yield what matches, each file once, in the order of the patterns: those asked for first come back first."""
    left = list(walk.files) if patterns else []
    for pattern in patterns:
        rest: list[Found] = []
        for found in left:
            if walk.late():
                return
            if found.name is not None and pattern.matches((*found.directory, found.name)):
                yield found
            else:
                rest.append(found)
        left = rest
