"""Opens what a run left below a descriptor, whatever mode the run gave it.

Works in the server, which a run's mode keeps out only where it isn't root: there both have one uid, or ids of one user.
"""

from __future__ import annotations

import os
import stat


def open_below(name: str | bytes, flags: int, directory_fd: int) -> int:
    """Open a directory or file that a run left, whatever mode the run gave it.

    A server that isn't root shares the run's uid, and may look at no more than the mode allows; so it changes that, as
    the owner.

    Raises:
        OSError: it isn't there, say, or is a link.
    """
    try:
        fd = os.open(name, flags, dir_fd=directory_fd)
    except PermissionError:
        _open_up(name, directory_fd)
        return os.open(name, flags, dir_fd=directory_fd)
    try:
        status = os.fstat(fd)
        if stat.S_ISDIR(status.st_mode) and not status.st_mode & 0o100 and status.st_uid == os.geteuid():
            os.fchmod(fd, 0o700)  # it could be listed, but what is in it not be looked at
    except BaseException:
        os.close(fd)
        raise
    return fd


def _open_up(name: str | bytes, directory_fd: int) -> None:
    """Let the owner read what has this name. Raises OSError."""
    fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory_fd)
    try:
        mode = os.fstat(fd).st_mode
        if stat.S_ISDIR(mode) or stat.S_ISREG(mode):
            # fchmod takes no such descriptor; this name leads to what it stands for, and nowhere else.
            os.chmod(f"/proc/self/fd/{fd}", 0o700)
    finally:
        os.close(fd)
