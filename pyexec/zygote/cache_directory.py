"""A home for what libraries write while they are imported, such as matplotlib's list of fonts.

Runs in a zygote that is loading what the operator added. The directory is locked as long as it is used: a library that
ends its process at the import leaves it, and the next one to load removes what nobody has locked.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
import time
from typing import Any, Iterator

_PREFIX = "pyexec-import-"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_S = 60.0  # another server may have made its directory, and not locked it yet


@contextlib.contextmanager
def of_an_import(work_dir: str) -> Iterator[None]:
    """Give libraries a home for their caches; what they need of it is in memory at the end, when it is removed."""
    import shutil  # not in every zygote: they load more than is needed there
    import tempfile

    directory, lock = "", -1
    with contextlib.suppress(OSError):  # it may be a directory that isn't ours to list, which can be written to
        _remove_abandoned(work_dir)
    with contextlib.suppress(OSError):  # nothing can be written here; a library that can't do without says so
        directory = tempfile.mkdtemp(prefix=_PREFIX, dir=work_dir)
        lock = os.open(directory, _DIRECTORY)
        fcntl.flock(lock, fcntl.LOCK_EX)  # refused by some file systems of networks, and done without
    names = {"HOME": directory, "TMPDIR": directory, "MPLCONFIGDIR": directory} if directory else {}
    os.environ.update(names)
    try:
        yield
    finally:
        for name in names:
            del os.environ[name]
        if directory:
            tempfile.tempdir = None  # a library may have asked where files go
            _forget_answers(sys.modules.get("matplotlib"))
            shutil.rmtree(directory, ignore_errors=True)
        if lock >= 0:
            os.close(lock)


def _remove_abandoned(work_dir: str) -> None:
    """Remove our uid's directories of imports that have ended. Raises OSError."""
    import shutil

    for name in os.listdir(work_dir):
        path = os.path.join(work_dir, name)
        if not name.startswith(_PREFIX):
            continue
        with contextlib.suppress(OSError):  # gone, in use, or another user's
            fd = os.open(path, _DIRECTORY)
            try:
                status = os.fstat(fd)
                if status.st_uid == os.geteuid() and time.time() - status.st_ctime >= _NEW_S:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(fd)


def _forget_answers(matplotlib: Any) -> None:
    """Have matplotlib look anew, in each run, where its settings and caches are: it keeps the first answer."""
    for name in ("get_configdir", "get_cachedir"):
        function = getattr(matplotlib, name, None)
        if function is not None and function.__closure__:
            kept = dict(zip(function.__code__.co_freevars, function.__closure__))
            if "called" in kept:  # so does the decorator of all releases since 3.1
                kept["called"].cell_contents = False
