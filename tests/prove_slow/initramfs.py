"""A Debian system as an initramfs: packages, wheels and files of ours in one cpio archive, without root and unstarted.

Packages are unpacked, not configured: none of what a guest needs is made by a package's own scripts.
"""

from __future__ import annotations

import importlib.util
import io
import marshal
import os
import stat
import subprocess
import sys
import tarfile
import zipfile
from typing import BinaryIO, Iterator, Set, Tuple

SITE = "usr/lib/python3/dist-packages"
_MERGED = ("bin", "sbin", "lib", "lib64")  # links into /usr on Debian, made before the first package is unpacked
_LEFT_OUT = ("usr/share/doc/", "usr/share/info/", "usr/share/locale/", "usr/share/man/")
_PYTHON = (3, 11)  # the guests'
_UNCHECKED = (1).to_bytes(4, "little")  # flags of a .pyc that is taken as it is
_TRAILER = "TRAILER!!!"


class Initramfs:
    """An archive that is being written, in the format that the kernel unpacks ("newc"); everything belongs to root."""

    def __init__(self, file: BinaryIO) -> None:
        """Begin with what a root directory has."""
        self._file = file
        self._there: Set[str] = set()
        self._number = 0
        for name in ("usr", *("usr/" + each for each in _MERGED), "dev", "etc", "proc", "run", "sys", "var", "mnt"):
            self.directory(name)
        for name in ("tmp", "var/tmp"):
            self.directory(name, 0o1777)
        self.directory("root", 0o700)
        for name in _MERGED:
            self.link(name, "usr/" + name)
        self._entry("dev/console", stat.S_IFCHR | 0o600, b"", (5, 1))

    def directory(self, name: str, mode: int = 0o755) -> None:
        """Add a directory, and those above it, unless it is there."""
        above = os.path.dirname(name)
        if above and above not in self._there:
            self.directory(above)
        if name not in self._there:
            self._entry(name, stat.S_IFDIR | mode, b"")

    def link(self, name: str, target: str) -> None:
        """Add a symbolic link."""
        self._add(name, stat.S_IFLNK | 0o777, target.encode())

    def text(self, name: str, content: str, mode: int = 0o644) -> None:
        """Add a file with this text."""
        self._add(name, stat.S_IFREG | mode, content.encode())

    def package(self, path: str) -> None:
        """Add what a Debian package has, except for documentation."""
        done = subprocess.run(["dpkg-deb", "--fsys-tarfile", path], stdout=subprocess.PIPE, check=True)
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as packed:
            for member in packed:
                name = os.path.normpath(member.name)
                if name.partition("/")[0] in _MERGED:
                    name = "usr/" + name
                if name == "." or name.startswith(_LEFT_OUT):
                    continue
                if member.isdir():
                    self.directory(name, member.mode)
                elif member.issym():
                    self.link(name, member.linkname)
                else:
                    content = packed.extractfile(member)  # of a hard link: what it leads to
                    assert content is not None, member.name
                    self._file_of(name, content.read(), member.mode)

    def wheel(self, path: str) -> None:
        """Add what a wheel has, where Python finds it."""
        with zipfile.ZipFile(path) as packed:
            for name in packed.namelist():
                if not name.endswith("/"):
                    self._file_of("%s/%s" % (SITE, name), packed.read(name), 0o644)

    def tree(self, source: str, name: str) -> None:
        """Add the files of a directory that is here, under another name."""
        for path, directories, files in os.walk(source):
            directories[:] = sorted(set(directories) - {"__pycache__"})
            inside = os.path.normpath(os.path.join(name, os.path.relpath(path, source)))
            self.directory(inside)
            for each in sorted(files):
                with open(os.path.join(path, each), "rb") as file:
                    self._file_of(os.path.join(inside, each), file.read(), 0o644)

    def close(self) -> None:
        """Write the end; the file stays open."""
        self._entry(_TRAILER, 0, b"")

    def _file_of(self, name: str, content: bytes, mode: int) -> None:
        self._add(name, stat.S_IFREG | mode, content)
        if name.endswith(".py"):
            for place, code in _compiled(name, content):
                self._add(place, stat.S_IFREG | 0o644, code)

    def _add(self, name: str, mode: int, content: bytes) -> None:
        if os.path.dirname(name):
            self.directory(os.path.dirname(name))
        self._entry(name, mode, content)

    def _entry(self, name: str, mode: int, content: bytes, device: Tuple[int, int] = (0, 0)) -> None:
        self._number += 1
        self._there.add(name)
        encoded = name.encode() + b"\0"
        # ino, mode, uid, gid, nlink, mtime, size, device of the file, the device that it is, length of the name, check
        fields = (self._number, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(encoded), 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
        for part in (head, content):
            self._file.write(part + bytes(-len(part) % 4))


def _compiled(name: str, source: bytes) -> Iterator[Tuple[str, bytes]]:
    """Yield the place and the content of a file's bytecode, if this Python is the guests': to compile is slow there."""
    if sys.version_info[:2] != _PYTHON:
        return
    try:
        code = compile(source, "/" + name, "exec", dont_inherit=True)
    except (SyntaxError, ValueError):  # a template, or a sample of another Python
        return
    head = importlib.util.MAGIC_NUMBER + _UNCHECKED + importlib.util.source_hash(source)
    directory, base = os.path.split(name)
    place = "%s/__pycache__/%s.cpython-%d%d.pyc" % (directory, base[:-3], *_PYTHON)
    yield place, head + marshal.dumps(code)
