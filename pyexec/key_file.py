"""The file of named keys: one key a line, known by its SHA-256 alone, with limits of its own.

    NAME sha256:HEX per-minute=N per-day=N [admin] [slots=N]

`none` in place of N is no limit, and `#` begins a comment. Two lines with one name are two keys of one account, as
while a key is being replaced, and must agree in everything else. Errors name a line by its number and repeat nothing of
it: a key that was written into the file by mistake must not end up in a log.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import stat
from dataclasses import dataclass, field, replace

from pyexec.errors import ConfigError

SHORTEST_KEY = 20  # characters; SHA-256 is right for random keys alone, and a shorter one was chosen by hand
MOST_KEYS = 1000
_MOST_BYTES = 1 << 20
_RANDOM_BYTES = 32
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_DIGEST = re.compile(r"sha256:([0-9a-fA-F]{64})\Z")
_NUMBER = re.compile(r"[1-9][0-9]{0,6}\Z")
_HIGHEST = {"per-minute": 1_000_000, "per-day": 1_000_000, "slots": 256}
_FORM = "NAME sha256:HEX per-minute=N per-day=N [admin] [slots=N]"


@dataclass(frozen=True)
class NamedKey:
    """One key, and what its holders may do; None is no limit. The key itself isn't here."""

    name: str
    digest: bytes = field(repr=False)
    per_minute: int | None
    per_day: int | None
    admin: bool = False
    slots: int | None = None

    def line(self) -> str:
        """Return the line of the file that says the same."""
        words = [self.name, "sha256:" + self.digest.hex()]
        words += [f"per-minute={_written(self.per_minute)}", f"per-day={_written(self.per_day)}"]
        words += ["admin"] if self.admin else []
        words += [f"slots={self.slots}"] if self.slots is not None else []
        return " ".join(words)


def digest_of(key: str) -> bytes:
    """Return the SHA-256 by which a key is known."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def new_key(name: str, per_minute: int | None, per_day: int | None, admin: bool) -> tuple[str, NamedKey]:
    """Return a random key and what the file says about it. Raises ConfigError: the name won't do."""
    if not _NAME.match(name):
        raise ConfigError(
            "The name of a key must be 1 to 64 letters, digits, '.', '_' or '-', beginning with a letter or digit."
        )
    key = secrets.token_urlsafe(_RANDOM_BYTES)
    return key, NamedKey(name, digest_of(key), per_minute, per_day, admin)


def read(path: str) -> tuple[NamedKey, ...]:
    """Return the keys in a file.

    Raises:
        ConfigError: it can't be read, others can write it, or a line is malformed; the message says what to do.
    """
    try:
        # Not blocking, since opening a FIFO would wait for a writer.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(fd, "rb") as file:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                raise ConfigError(f"The keys file {path} is not a regular file.")
            if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise ConfigError(f"Others can write the keys file {path}, and so make themselves keys; chmod go-w it.")
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"The keys file {path} can't be read: {error.strerror}.") from error
    if len(content) > _MOST_BYTES:
        raise ConfigError(f"The keys file {path} is larger than 1 MiB.")
    try:
        return parse(content)
    except ValueError as error:
        raise ConfigError(f"The keys file {path} is not valid: {error}.") from None


def parse(content: bytes) -> tuple[NamedKey, ...]:
    """Return the keys in a file's content. Raises ValueError, which names the line that is wrong."""
    keys: list[NamedKey] = []
    first_lines: dict[str, tuple[int, NamedKey]] = {}
    digests: set[bytes] = set()
    for number, line in enumerate(content.split(b"\n"), 1):
        words = line.partition(b"#")[0].decode("utf-8", "replace").split()
        if not words:
            continue
        try:
            key = _key(words)
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
        if key.digest in digests:
            raise ValueError(f"line {number}: the same key stands in a line above")
        first, other = first_lines.setdefault(key.name, (number, key))
        if replace(key, digest=other.digest) != other:
            raise ValueError(f"line {number}: the name is that of line {first}, but the limits are others")
        digests.add(key.digest)
        keys.append(key)
    if len(keys) > MOST_KEYS:
        raise ValueError(f"it has more than {MOST_KEYS} keys")
    return tuple(keys)


def _key(words: list[str]) -> NamedKey:
    if not _NAME.match(words[0]):
        raise ValueError("the name must be 1 to 64 letters, digits, '.', '_' or '-', beginning with a letter or digit")
    digest = _DIGEST.match(words[1]) if len(words) > 1 else None
    if digest is None:
        raise ValueError("the second word must be sha256: and 64 hexadecimal digits, as `pyexec key NAME` prints it")
    numbers: dict[str, int | None] = {}
    admin = False
    for word in words[2:]:
        name, sign, value = word.partition("=")
        if word == "admin" and not admin:
            admin = True
        elif name in _HIGHEST and sign and name not in numbers:
            numbers[name] = _limit(name, value)
        else:
            raise ValueError(f"a word is unknown, or stands there twice; the form is {_FORM}")
    for name in ("per-minute", "per-day"):
        if name not in numbers:
            raise ValueError(f"{name}=N is missing; {name}=none is no limit")
    return NamedKey(
        words[0], bytes.fromhex(digest.group(1)), numbers["per-minute"], numbers["per-day"], admin, numbers.get("slots")
    )


def _limit(name: str, value: str) -> int | None:
    if value == "none":
        return None
    if not _NUMBER.match(value) or int(value) > _HIGHEST[name]:
        raise ValueError(f"{name} must be 1 to {_HIGHEST[name]}, or none")
    return int(value)


def _written(limit: int | None) -> str:
    return "none" if limit is None else str(limit)
