"""Hosts that lack something, on any host: the beginnings of command lines that the programs of this folder stand in."""

from __future__ import annotations

import errno
import os
import sys
import tempfile
from contextlib import contextmanager
from typing import Iterator, List, Tuple

_HERE = os.path.dirname(os.path.abspath(__file__))


def _wrapper(program: str, *arguments: str) -> List[str]:
    return [sys.executable, os.path.join(_HERE, program + ".py"), *arguments]


def refusing(*calls: str, number: int = errno.EPERM) -> List[str]:
    """Return what a command is given to, so that these system calls fail in it with this errno; see `refuse.py`."""
    return _wrapper("refuse", "--errno", str(number), *calls, "--")


def injecting(kind: str) -> List[str]:
    """Return what a server is given to, so that the layers of its public or admin children fail; see `inject.py`."""
    return _wrapper("inject", kind, "--")


def with_landlock_abi(abi: int) -> List[str]:
    """Return what a command is given to, so that it finds an older Landlock; see `older_landlock.py`."""
    return _wrapper("older_landlock", str(abi))


def with_clock(file: str) -> List[str]:
    """Return what a server is given to, so that its clock is wrong by what a file says; see `clock.py`."""
    return _wrapper("clock", file, "--")


TMPFS_BYTES = 192 << 20


@contextmanager
def directory_on_tmpfs() -> Iterator[Tuple[str, List[str]]]:
    """Yield a directory on a tmpfs of TMPFS_BYTES, and what a command is given to, so that it finds it there.

    A container, whose profile lets nothing be mounted, is started with such a tmpfs, and TMPFS says where.
    """
    given = os.environ.get("TMPFS")
    with tempfile.TemporaryDirectory(prefix="work-dir-", dir=given or "/var/tmp") as directory:
        os.chmod(directory, 0o755)
        yield directory, [] if given else _wrapper("on_tmpfs", directory, str(TMPFS_BYTES))


# As under Docker's default profile, which refuses what makes and mounts a tree: runs have their directories on disk.
DOCKER = refusing("docker")
EITHER_HOST = {"mounts": [], "no mounts": DOCKER}
