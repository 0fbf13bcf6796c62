"""Quantities as people read them in messages: "1 second", "512 MiB", "2 entries". Pure."""

from __future__ import annotations

_SIZES = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def count(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number of things; `plural` where it isn't the noun and an "s"."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def size(number: int) -> str:
    """Return a number of bytes in the largest unit that is exact, so that no limit is rounded to what it isn't."""
    for unit, name in _SIZES:
        if number and number % unit == 0:
            return f"{number // unit} {name}"
    return count(number, "byte")


def seconds(number: float) -> str:
    """Return a duration."""
    return f"{number:g} second" if number == 1 else f"{number:g} seconds"
