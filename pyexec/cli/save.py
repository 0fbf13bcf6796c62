"""Files that scripts made, put below a directory of the user's: names from hostile code never lead out of it."""

from __future__ import annotations

import contextlib
import os

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


def save(directory: str, name: str, content: bytes) -> None:
    """Write a file at a relative path below a directory, which is made if need be; a file of that name is replaced.

    No link below the directory is followed, and a further name of the replaced file keeps what it had.

    Raises:
        OSError: as when something on the way is not a directory. ValueError: the path leads out.
    """
    parts = [part.encode("utf-8") for part in name.split("/")]
    if any(part in (b"", b".", b"..") or b"\0" in part for part in parts):
        raise ValueError(f"{name!r} is not a path below a directory")
    os.makedirs(directory, exist_ok=True)
    where = os.open(directory, _DIRECTORY)
    try:
        for part in parts[:-1]:
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, dir_fd=where)
            inner = os.open(part, _DIRECTORY | os.O_NOFOLLOW, dir_fd=where)
            os.close(where)
            where = inner
        with contextlib.suppress(FileNotFoundError):
            os.unlink(parts[-1], dir_fd=where)
        with open(os.open(parts[-1], _NEW, 0o666, dir_fd=where), "wb") as file:
            file.write(content)
    except OSError as error:
        # By a descriptor the kernel's own message names only the last part.
        raise OSError(error.errno, f"can't write {name!r} below {directory}: {error.strerror}") from error
    finally:
        os.close(where)
