"""What public scripts find in `os`, `tempfile`, `sqlite3` and `shelve` where the kernel lets them delete nothing.

Where a run's directory lies on a disk, the filter refuses to let public scripts delete or replace files: what is
deleted and still open takes space that nothing counts. Of the kernel's ways to rename, one passes, which takes a free
name only, and C libraries don't use it. So `os.rename` and `os.replace` do here. The others say what is refused, and
why. What `tempfile` would delete goes with the run's directory anyway, so it need not fail; and a file in the directory
for temporary files that is deleted by its name gets another one. A database does without deleting its journal (see
`sqlite_files`), and a new shelf is of the kind that replaces no file.

Convenience, not a boundary: what a script does past this file, the filter refuses all the same. Works in the child.
"""

from __future__ import annotations

import contextlib
import dbm.dumb
import errno
import itertools
import os
import pathlib
import stat
import tempfile
import types
from typing import Any, Callable

from pyexec.child import sqlite_files
from pyexec.kernel import libc

_AT_FDCWD, _RENAME_NOREPLACE = -100, 1
_deleted, _MOST_TRIES = itertools.count(), 1000
_ADVICE = "not possible on this server, whose --work-dir is on a disk (see its doctor command)"


def install() -> None:
    """Put this module's functions in the place of those of `os`, for the rest of this process."""
    refusing = {name: _refusing(getattr(os, name), "deleting is " + _ADVICE) for name in ("remove", "unlink", "rmdir")}
    renaming = {name: _renaming(getattr(os, name)) for name in ("rename", "replace")}
    linking = {"link": _linking(os.link)}
    for name, function in {**refusing, **renaming, **linking}.items():
        setattr(os, name, function)
        os.supports_dir_fd.add(function)
    accessor: Any = getattr(pathlib, "_NormalAccessor", None)  # before Python 3.10
    for name in ("rename", "replace", "unlink", "rmdir"):
        if hasattr(accessor, name):
            setattr(accessor, name, staticmethod(getattr(os, name)))
    for name in ("link", "link_to"):  # the latter in 3.8 and 3.9
        if hasattr(accessor, name):
            setattr(accessor, name, staticmethod(os.link))
    _spare_tempfile()
    sqlite_files.keep_journals()
    _open_simple_shelves()


def _refusing(plain: Callable[..., Any], reason: str) -> Callable[..., Any]:
    def refuse(path: Any, *, dir_fd: int | None = None) -> None:
        try:
            plain(path, dir_fd=dir_fd)
        except PermissionError as error:
            if error.errno != errno.EPERM:
                raise
            # The filter answers before anybody looks: what isn't there is an error as ever.
            mode = os.stat(path, dir_fd=dir_fd, follow_symlinks=False).st_mode
            if dir_fd is None and stat.S_ISREG(mode) and _set_aside(path):
                return
            raise PermissionError(errno.EPERM, reason, path) from None

    return _named(refuse, plain)


def _set_aside(path: Any) -> bool:
    """Give a temporary file a name that nobody looks for; return whether it is one. It still counts."""
    directory = os.fsencode(tempfile.gettempdir())
    if os.path.dirname(os.path.abspath(os.fsencode(path))) != directory:
        return False
    for number in itertools.islice(_deleted, _MOST_TRIES):
        try:
            os.rename(path, os.path.join(directory, b".deleted-%d" % number))
        except OSError as error:
            if error.errno == errno.EPERM:  # the name is taken
                continue
            return False
        return True
    return False


def _renaming(plain: Callable[..., Any]) -> Callable[..., Any]:
    def rename(src: Any, dst: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None) -> None:
        source, target = os.fsencode(src), os.fsencode(dst)
        if b"\0" in source + target:
            raise ValueError("embedded null byte")
        places = [_AT_FDCWD if fd is None else fd for fd in (src_dir_fd, dst_dir_fd)]
        try:
            libc.syscall("renameat2", places[0], source, places[1], target, _RENAME_NOREPLACE)
        except OSError as error:
            number, reason = error.errno or 0, os.strerror(error.errno or 0)
            if number == errno.EEXIST:
                number, reason = errno.EPERM, "replacing a file is " + _ADVICE
            raise OSError(number, reason, src, None, dst) from None

    return _named(rename, plain)


def _linking(plain: Callable[..., Any]) -> Callable[..., Any]:
    def link(
        src: Any,
        dst: Any,
        *,
        src_dir_fd: int | None = None,
        dst_dir_fd: int | None = None,
        follow_symlinks: bool = True,
    ) -> None:
        try:
            plain(src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd, follow_symlinks=follow_symlinks)
        except PermissionError as error:
            if error.errno != errno.EPERM:
                raise
            os.stat(src, dir_fd=src_dir_fd, follow_symlinks=follow_symlinks)
            raise PermissionError(errno.EPERM, "a hard link is " + _ADVICE, src, None, dst) from None

    os.supports_follow_symlinks.add(link)
    return _named(link, plain)


def _open_simple_shelves() -> None:
    """Let a new shelf be one that Python itself writes, since the libraries of others replace files."""
    known: Any = dbm
    known._names = ["dbm.dumb", *(name for name in known._names if name != "dbm.dumb")]
    plain = dbm.dumb.open

    def open(file: Any, flag: str = "c", mode: int = 0o666) -> Any:
        if flag == "n":  # it would delete them, go on if it can't, and find what was in them
            for ending in (".dat", ".dir", ".bak"):
                with contextlib.suppress(FileNotFoundError):
                    os.close(os.open(os.fsdecode(file) + ending, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC))
        return plain(file, flag, mode)

    open.__module__, open.__qualname__, open.__doc__ = plain.__module__, "open", plain.__doc__
    dbm.dumb.open = open


def _named(function: Callable[..., Any], plain: Callable[..., Any]) -> Callable[..., Any]:
    function.__name__ = function.__qualname__ = plain.__name__
    function.__module__, function.__doc__ = "os", plain.__doc__
    return function


def _spare_tempfile() -> None:
    """Have `tempfile` leave its files where they are, instead of failing to delete them."""

    def leave(path: Any, *, dir_fd: int | None = None) -> None:
        os.stat(path, dir_fd=dir_fd, follow_symlinks=False)

    module: Any = tempfile
    for cls in [getattr(module, name, None) for name in ("_TemporaryFileCloser", "_TemporaryFileWrapper")]:
        for function in [each for each in vars(cls).values() if isinstance(each, types.FunctionType)] if cls else []:
            # The functions bind `os.unlink` as a default, so that it is there when the interpreter ends.
            defaults = function.__defaults__ or ()
            kept = tuple(leave if getattr(each, "__name__", "") == "unlink" else each for each in defaults)
            function.__defaults__ = kept or None
    own = types.ModuleType("os")
    own.__dict__.update(vars(os), unlink=leave, rmdir=leave)
    module._os = own
