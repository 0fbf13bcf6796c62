"""What a run says of itself beside its output: how its script failed, and the value of its last statement.

A child makes these, after the script has had the process to itself, so they are worth what the script is worth. What
arrives here may be anything: `error` and `value` return a copy that has the shapes below, or raise ValueError. The
shapes are the contract's, as docs/api.md has them. Pure.
"""

from __future__ import annotations

import json
import math
from typing import Any, Mapping, NamedTuple, Union

from pyexec import rules
from pyexec.errors import ValidationError

FRAMES = 8  # of a traceback, counted from the innermost
LOCALS_CHARS = 2048  # of all values of variables together
VALUE_CHARS = 8000  # of a repr, of a table and of JSON
_DEEPEST = 32
_LARGEST_WHOLE = 2**53


class Text(NamedTuple):
    """A string of at most so many characters."""

    most: int


class Whole(NamedTuple):
    """A whole number, not negative; None where `optional`."""

    optional: bool = False


class Flag(NamedTuple):
    """True or false."""


class Array(NamedTuple):
    """An array of at most so many items."""

    item: Shape
    most: int


class Named(NamedTuple):
    """An object of at most so many names, each with a value of one shape."""

    item: Shape
    most: int


class Record(NamedTuple):
    """An object of these fields."""

    required: Mapping[str, Shape]
    optional: Mapping[str, Shape]


Shape = Union[Text, Whole, Flag, Array, Named, Record]

FRAME = Record(
    {"line": Whole(), "function": Text(200), "code": Text(300)},
    {"locals": Named(Text(600), 60), "locals_omitted": Whole()},
)
LARGE = Record({"name": Text(100), "size_bytes": Whole(), "value": Text(200)}, {})
ERROR = Record(
    {
        "type": Text(200),
        "message": Text(1000),
        "line": Whole(optional=True),
        "code": Text(300),
        "frames": Array(FRAME, FRAMES),
    },
    {"frames_omitted": Whole(), "largest": Array(LARGE, 5)},
)
# Beside these a value has `json`, which travels as text.
VALUE = Record({"repr": Text(VALUE_CHARS)}, {"markdown": Text(VALUE_CHARS), "truncated": Flag()})

# Pictures that were shown: the files that they were written to, and why others could not be.
SHOWN = Record({"names": Array(Text(255), 10), "troubles": Array(Text(200), 10)}, {})


def shown(said: Any) -> dict[str, Any]:
    """Return a checked copy of what a run shows; its names are such as a caller may ask for. Raises ValueError."""
    found: dict[str, Any] = _checked(SHOWN, said)
    for name in found["names"]:
        try:
            rules.path(name, "shown")
        except ValidationError as refused:
            raise ValueError(refused.message) from None
    return found


def error(said: Any) -> dict[str, Any]:
    """Return a checked copy of how a script failed. Raises ValueError."""
    found: dict[str, Any] = _checked(ERROR, said)
    shown = sum(len(text) for frame in found["frames"] for text in frame.get("locals", {}).values())
    if shown > LOCALS_CHARS:
        raise ValueError("too much of the variables")
    return found


def value(said: Any) -> dict[str, Any]:
    """Return a checked copy of a value, its JSON parsed. Raises ValueError."""
    if not isinstance(said, dict):
        raise ValueError("not an object")
    found: dict[str, Any] = _checked(VALUE, {name: each for name, each in said.items() if name != "json"})
    if "json" in said:
        found["json"] = _parsed(said["json"])
    return found


def _checked(shape: Shape, said: Any) -> Any:
    """Return a copy of what was said, if it has the shape. Raises ValueError."""
    if isinstance(shape, Text) and isinstance(said, str) and len(said) <= shape.most:
        return said.encode("utf-8", "replace").decode("utf-8")  # without lone surrogates
    if isinstance(shape, Flag) and isinstance(said, bool):
        return said
    if isinstance(shape, Whole) and (
        (type(said) is int and 0 <= said <= _LARGEST_WHOLE) or (said is None and shape.optional)
    ):
        return said
    if isinstance(shape, Array) and isinstance(said, list) and len(said) <= shape.most:
        return [_checked(shape.item, each) for each in said]
    if isinstance(shape, Named) and isinstance(said, dict) and len(said) <= shape.most:
        return {_checked(Text(200), name): _checked(shape.item, each) for name, each in said.items()}
    if isinstance(shape, Record) and isinstance(said, dict):
        fields = {**shape.required, **shape.optional}
        if set(shape.required) <= set(said) <= set(fields):
            return {name: _checked(fields[name], each) for name, each in said.items()}
    raise ValueError(f"not a {type(shape).__name__}")


def _parsed(text: Any) -> Any:
    """Return a JSON value that can be written out again, in a strict answer. Raises ValueError."""
    if not isinstance(text, str) or len(text) > VALUE_CHARS:
        raise ValueError("no JSON")
    try:
        parsed = json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("too deep") from None
    level = [parsed]
    for _ in range(_DEEPEST):
        following: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                following += each.values()
                following += each
            elif isinstance(each, list):
                following += each
            elif isinstance(each, str):
                each.encode("utf-8")  # UnicodeEncodeError is a ValueError
            elif isinstance(each, float) and not math.isfinite(each):
                raise ValueError("not finite")
        level = following
        if not level:
            return parsed
    raise ValueError("too deep")


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
