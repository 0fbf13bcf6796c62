"""The kinds of values that settings have: how each is read from text, checked when given in Python, and written. Pure.

Flags and variables are text and are read; what an embedder gives is checked as it is. Both end in the same check, and
a checked value passes it again unchanged. Every method that finds fault raises ValueError with a phrase that starts
with "must" or names the part that is wrong.
"""

from __future__ import annotations

import abc
import ipaddress
import numbers
import operator
import os
import re
import sys
from typing import Any, Union

from pyexec.authority import parse_authority

Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

MIB = 1024 * 1024
_UNITS = {"": 1, "K": 1024, "M": MIB, "G": 1024 * MIB}
_SIZE = re.compile(r"([0-9]{1,15})([KMGkmg]?)(?:i?[Bb])?\Z")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?\Z")
_DEFAULT_PORT = re.compile(r"http:.*:80\Z|https:.*:443\Z")
_HOST_NAME = re.compile(r"[a-z0-9._-]+\Z")
_WORDS_SHOWN = 3


class Kind(abc.ABC):
    """One kind of value; `metavar` stands for it in --help."""

    metavar = "VALUE"
    repeats = False  # whether a flag given again adds to the first instead of replacing it

    def read(self, text: str) -> Any:
        """Return the value that a flag or a variable says."""
        return self.check(text)

    @abc.abstractmethod
    def check(self, value: Any) -> Any:
        """Return a value given in Python, in the form that `Config` holds. Raises ValueError."""

    def written(self, value: Any) -> str:
        """Return the text that `read` reads as this value."""
        return str(value)

    def shown(self, value: Any) -> str:
        """Return the value as --help has it."""
        return self.written(value)


class Number(Kind):
    """A finite number within bounds."""

    def __init__(self, low: float, high: float) -> None:
        self._low, self._high = low, high

    def _within(self, value: float) -> float:
        if not self._low <= value <= self._high:  # which NaN isn't, either
            raise ValueError(f"must be {self._low} to {self._high}")
        return value


class Whole(Number):
    """A whole number within bounds."""

    metavar = "N"

    def read(self, text: str) -> int:
        """Return the number in decimal digits."""
        try:
            return self.check(int(text))
        except ValueError as error:
            raise _plain(error, "must be a whole number") from None

    def check(self, value: Any) -> int:
        """Return a value of any whole type but bool as an int."""
        if isinstance(value, bool) or not hasattr(value, "__index__"):
            raise ValueError("must be a whole number")
        return int(self._within(operator.index(value)))


class Size(Whole):
    """A number of bytes, in binary units where they are whole: 64M is 64 × 1024 × 1024 bytes."""

    metavar = "SIZE"

    def read(self, text: str) -> int:
        """Return a number of bytes, or of units of 1024, 1024² or 1024³ bytes."""
        parts = _SIZE.match(text.strip())
        if parts is None:
            raise ValueError("must be a whole number of bytes, or of K, M or G, such as 64M")
        return self.check(int(parts.group(1)) * _UNITS[parts.group(2).upper()])

    def written(self, value: int) -> str:
        """Return it in the largest unit that is exact."""
        unit = max((unit for unit in _UNITS if value % _UNITS[unit] == 0), key=lambda unit: _UNITS[unit])
        return f"{value // _UNITS[unit]}{unit}"

    def shown(self, value: int) -> str:
        """Return whole mebibytes as such."""
        return f"{value // MIB} MiB" if value % MIB == 0 else str(value)


class Seconds(Number):
    """A duration, fractions allowed."""

    metavar = "SECONDS"

    def read(self, text: str) -> float:
        """Return the number in the usual notations."""
        try:
            return self.check(float(text))
        except ValueError as error:
            raise _plain(error, "must be a number") from None

    def check(self, value: Any) -> float:
        """Return a real number as a float."""
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise ValueError("must be a number")
        return float(self._within(value))  # type: ignore[arg-type]

    def written(self, value: float) -> str:
        """Return whole seconds without a fraction."""
        return f"{value:g}"


def _plain(error: ValueError, phrase: str) -> ValueError:
    """Return the error with our own phrase in place of what int() or float() says."""
    return error if str(error).startswith("must") else ValueError(phrase)


class OrNone(Kind):
    """Another kind, or `none`, which is None in Python."""

    def __init__(self, kind: Kind) -> None:
        self._kind, self.metavar = kind, kind.metavar

    def read(self, text: str) -> Any:
        """Return None for `none`."""
        return None if text == "none" else self._kind.read(text)

    def check(self, value: Any) -> Any:
        """Return None as it is."""
        return None if value is None else self._kind.check(value)

    def written(self, value: Any) -> str:
        """Return `none` for None."""
        return "none" if value is None else self._kind.written(value)


class Text(Kind):
    """A text that isn't empty."""

    def check(self, value: Any) -> str:
        """Return the text without the white space around it."""
        if not isinstance(value, str):
            raise ValueError("must be a string")
        if not value.strip():
            raise ValueError("must not be empty")
        return value.strip()


class Address(Text):
    """An address, or a name for one, that the listening socket binds."""

    metavar = "ADDRESS"


class Directory(Text):
    """A path."""

    metavar = "PATH"

    def check(self, value: Any) -> str:
        """Return the path, which may be a `pathlib.Path`."""
        path = super().check(os.fspath(value) if isinstance(value, os.PathLike) else value)
        try:
            encoded = os.fsencode(path)
        except UnicodeEncodeError:
            raise ValueError(f"the locale's encoding, {sys.getfilesystemencoding()}, can't write this path") from None
        if b"\0" in encoded:
            raise ValueError("must not have a NUL character")
        return path


class Origin(Text):
    """An origin as browsers send it, or `*`."""

    metavar = "ORIGIN"

    def check(self, value: Any) -> str:
        """Return the origin; `null` isn't one, since every sandboxed frame and every local file sends it."""
        if not isinstance(value, str) or (value != "*" and (not _ORIGIN.match(value) or _DEFAULT_PORT.match(value))):
            raise ValueError("must be an origin as browsers send it, like https://app.example.org, or * or none")
        return value


class Words(Kind):
    """A list, separated by spaces or commas; empty unless a subclass refuses that."""

    metavar = "LIST"

    def read(self, text: str) -> tuple[Any, ...]:
        """Return the items of the list."""
        return self.check(split(text))

    def check(self, value: Any) -> tuple[Any, ...]:
        """Return the items of a tuple or list, each checked."""
        if not isinstance(value, (tuple, list)):
            raise ValueError("must be a tuple or list")
        return tuple(self.item(item) for item in value)

    def item(self, item: Any) -> Any:
        """Return one checked item."""
        if not isinstance(item, str) or split(item) != (item,):
            raise ValueError(f"{item!r} is not one word")
        return item

    def written(self, value: tuple[Any, ...]) -> str:
        """Return the items separated by spaces."""
        return " ".join(str(item) for item in value)

    def shown(self, value: tuple[Any, ...]) -> str:
        """Return the first few items, and how many there are beside them."""
        more = len(value) - _WORDS_SHOWN
        return self.written(value[:_WORDS_SHOWN]) + (f" and {more} more" if more > 0 else "") or "empty"


class Networks(Words):
    """Address ranges; a single address is a range."""

    def item(self, item: Any) -> Network:
        """Return one range, given as such or as text."""
        if isinstance(item, (ipaddress.IPv4Network, ipaddress.IPv6Network)):
            return item
        if not isinstance(item, str):  # an int would be an address to ipaddress
            raise ValueError(f"{item!r} is not an address range")
        return ipaddress.ip_network(item)


class HostNames(Words):
    """Host names and addresses without ports; `none`, or None in Python, is the empty list, and an empty text isn't."""

    def read(self, text: str) -> tuple[str, ...]:
        """Return the names in lower case."""
        words = split(text)
        if not words:
            raise ValueError("must name a host, or be none")
        return () if words == ("none",) else self.check(words)

    def check(self, value: Any) -> tuple[str, ...]:
        """Return the names in lower case."""
        return () if value is None else super().check(value)

    def item(self, item: Any) -> str:
        """Return one name; an IPv6 address may do without its brackets, as `Config` holds it."""
        try:
            found = parse_authority(f"[{item}]" if item.count(":") > 1 and item[0] != "[" else item)
        except (AttributeError, TypeError, ValueError):
            raise ValueError(f"{item!r} is not a host name") from None
        if found.port is not None:
            raise ValueError(f"{item!r} has a port; leave it out, any port will do")
        if item == "none" or not (found.is_address or _HOST_NAME.match(found.host)):
            raise ValueError(f"{item!r} is not a host name")
        return found.host

    def written(self, value: tuple[str, ...]) -> str:
        """Return `none` for the empty list."""
        return super().written(value) or "none"

    def shown(self, value: tuple[str, ...]) -> str:
        """Return `none` for the empty list."""
        return super().shown(value) if value else "none"


def split(text: str) -> tuple[str, ...]:
    """Return the words of a list separated by spaces or commas."""
    return tuple(text.replace(",", " ").split())
