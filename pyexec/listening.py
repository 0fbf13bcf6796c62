"""Listening sockets: on an address, or at the path of a Unix socket."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat

from pyexec.config import Config

_BACKLOG = 128
_SOCKET_MODE = 0o660  # for the proxy, by its group
_KNOCK_S = 1.0


class Listening:
    """A listening socket, and what to call it."""

    def __init__(self, sock: socket.socket, url: str, path: str | None = None) -> None:
        """Take a socket that listens; `path` is that of a Unix socket."""
        self.sock, self.url, self._path = sock, url, path
        # A connection that is gone again before it is accepted must not hold the thread.
        sock.setblocking(False)
        self._made = None if path is None else _identity(path)

    def close(self) -> None:
        """Close the socket and remove its file, unless another server has put its own there."""
        self.sock.close()
        if self._path is not None and self._made is not None and _identity(self._path) == self._made:
            with contextlib.suppress(OSError):  # the directory may be another's by now
                os.unlink(self._path)


def listen(config: Config) -> Listening:
    """Return what the settings say to listen on. Raises OSError, which names it."""
    if config.unix_socket is not None:
        return _on_path(config.unix_socket)
    return on_address(config.host, config.port)


def on_address(host: str, port: int) -> Listening:
    """Listen on an address. Raises OSError, which names it."""
    found = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
        found.listen(_BACKLOG)
        name, number = found.getsockname()[:2]
        return Listening(found, f"http://[{name}]:{number}" if ":" in name else f"http://{name}:{number}")
    except OSError as error:
        found.close()
        # The kernel's message alone would be a number and no address.
        reason = f"can't listen on {host}, port {port}: {error.strerror}; set --host or --port"
        raise OSError(error.errno, reason) from error


def _on_path(path: str) -> Listening:
    found = socket.socket(socket.AF_UNIX)
    try:
        _remove_left_over(path)
        found.bind(path)
        # Before it listens, so that nobody connects by other rights. The umask would take rights away from 0660.
        os.chmod(path, _SOCKET_MODE)
        found.listen(_BACKLOG)
        return Listening(found, "unix:" + os.path.abspath(path), path)
    except OSError as error:
        found.close()
        raise OSError(error.errno, f"can't listen on {path}: {error.strerror}; set --unix-socket") from error


def _remove_left_over(path: str) -> None:
    """Remove the socket that a server left behind, and nothing else. Raises OSError."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(errno.EEXIST, "it exists and isn't a socket, so it stays")
    with socket.socket(socket.AF_UNIX) as knock:
        knock.settimeout(_KNOCK_S)
        try:
            knock.connect(path)
        except ConnectionRefusedError:  # nobody listens: the kernel's word, not a guess
            os.unlink(path)
            return
        except socket.timeout:
            pass  # whoever listens there has a full backlog
    raise OSError(errno.EADDRINUSE, "another server listens there")


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
