"""Showing values in a bounded number of characters, whatever they are: what a traceback with values is made of.

Containers of Python's own are walked by this module, never asked for their whole text: a list of a million numbers
costs what its first few cost. Arrays are shown by shape and type, frames by their columns. Everything else is asked,
within the bounds of a `Guard`, and an object that has nothing to say for itself is shown by its attributes. What was
left out is told in the text.
"""

from __future__ import annotations

import collections
import sys
import types
from typing import Any, Iterable

from pyexec.child.guarded import Failed, Guard, NoTime, TooLong, class_name

_ITEMS, _ELEMENTS, _COLUMNS, _ATTRIBUTES = 6, 6, 12, 8
_DEEPEST = 3
_LIBRARY_S = 0.03
_BITS = 4096  # of a number whose digits are worth computing
_BRACKETS: dict[type, tuple[str, str]] = {
    list: ("[", "]"),
    tuple: ("(", ")"),
    set: ("{", "}"),
    frozenset: ("frozenset({", "})"),
    collections.deque: ("deque([", "])"),
    dict: ("{", "}"),
    collections.OrderedDict: ("OrderedDict({", "})"),
    collections.defaultdict: ("defaultdict({", "})"),
    collections.Counter: ("Counter({", "})"),
}


def clip(text: str, most: int) -> str:
    """Return a text of at most so many characters; one that is cut says by how much."""
    if len(text) <= most:
        return text
    mark = f"… {len(text) - most:,} more"
    return text[: max(0, most - len(mark))] + mark if most > 2 * len(mark) else text[: max(0, most - 1)] + "…"


class Printer:
    """Shows values, one after another, within a guard."""

    def __init__(self, guard: Guard) -> None:
        """Take the guard, which has been entered."""
        self._guard = guard

    def show(self, value: Any, most: int) -> str:
        """Return a value in at most so many characters. Never raises an Exception of the value's own."""
        return clip(self._text(value, most, 0, ()), most)

    def _text(self, value: Any, most: int, depth: int, within: tuple[int, ...]) -> str:
        kind = type(value)
        if kind in (bool, float, complex) or value is None or value is Ellipsis:
            return repr(value)
        if kind is int:
            return repr(value) if value.bit_length() <= _BITS else f"<int of {value.bit_length():,} bits>"
        if kind in (str, bytes, bytearray):
            return _string(value, most)
        if id(value) in within:
            return "…"
        if kind in _BRACKETS:
            return self._container(value, most, depth, (*within, id(value)))
        try:
            return self._other(value, most, depth, (*within, id(value)))
        except (Exception, TooLong):  # noqa: BLE001 - whatever a value of the script's raises
            return _bare(value)

    def _container(self, value: Any, most: int, depth: int, within: tuple[int, ...]) -> str:
        kind, size = type(value), len(value)
        opening, closing = _BRACKETS[kind]
        mapping = issubclass(kind, dict)
        if not size:
            return "set()" if kind is set else opening + closing
        if depth >= _DEEPEST:
            return f"{opening}… {size:,}{closing}"
        each = max(20, most // min(size, _ITEMS))
        shown: list[str] = []
        left = most - 16
        for item in _first(value.items() if mapping else value, _ITEMS):
            if mapping:
                key = clip(self._text(item[0], 60, depth + 1, within), 60)
                text = f"{key}: {clip(self._text(item[1], each, depth + 1, within), each)}"
            else:
                text = clip(self._text(item, each, depth + 1, within), each)
            left -= len(text) + 2
            if left < 0 and shown:
                break
            shown.append(text)
        if size > len(shown):
            shown.append(f"… {size - len(shown):,} more")
        elif kind is tuple and size == 1:
            closing = ",)"
        return opening + ", ".join(shown) + closing

    def _other(self, value: Any, most: int, depth: int, within: tuple[int, ...]) -> str:
        kind = type(value)
        described = self._described(value, kind, most)
        if described is not None:
            return described
        if issubclass(kind, (types.FunctionType, types.BuiltinFunctionType, types.MethodType)):
            return f"<function {clip(str(getattr(value, '__qualname__', '?')), 80)}>"
        if issubclass(kind, type):
            return f"<class '{clip(str(value.__qualname__), 80)}'>"
        if issubclass(kind, types.ModuleType):
            return f"<module '{clip(str(value.__name__), 80)}'>"
        fields = getattr(kind, "_fields", None) if issubclass(kind, tuple) else None
        if type(fields) is tuple:
            names = [str(name) for name in fields[:_ATTRIBUTES]]
            return f"{_name(value)}({self._pairs(zip(names, tuple(value)), len(names), most, depth, within)})"
        if kind.__repr__ is object.__repr__:  # type: ignore[comparison-overlap]
            return self._attributes(value, most, depth, within)
        try:
            text: Any = self._guard.call(repr, value)
        except NoTime:
            return _bare(value)
        except TooLong:
            return _bare(value)[:-1] + ", whose repr takes too long>"
        except Failed as error:
            return _bare(value)[:-1] + f", whose repr raises {error}>"
        return str.__str__(text)  # a subclass may have another

    def _attributes(self, value: Any, most: int, depth: int, within: tuple[int, ...]) -> str:
        """Show an object that has no text of its own by the attributes that it holds."""
        held = object.__getattribute__(value, "__dict__") if hasattr(type(value), "__dict__") else None
        if type(held) is not dict or not held or depth >= _DEEPEST:
            return _bare(value)
        pairs = [(name, each) for name, each in _first(held.items(), _ATTRIBUTES) if type(name) is str]
        more = f", … {len(held) - len(pairs):,} more" if len(held) > len(pairs) else ""
        return f"<{_name(value)} {self._pairs(pairs, len(pairs), most, depth, within)}{more}>"

    def _pairs(
        self, pairs: Iterable[tuple[str, Any]], count: int, most: int, depth: int, within: tuple[int, ...]
    ) -> str:
        each = max(20, most // max(1, count))
        return ", ".join(f"{name}={clip(self._text(held, each, depth + 1, within), each)}" for name, held in pairs)

    def _described(self, value: Any, kind: type, most: int) -> str | None:
        """Show an array or a frame by its shape; None if it is something else."""
        numpy = sys.modules.get("numpy")
        if numpy is not None and issubclass(kind, numpy.ndarray):
            return str(self._guard.call(_array, value, most, most_s=_LIBRARY_S))
        if is_frame(kind):
            return str(self._guard.call(_frame, value, most_s=_LIBRARY_S))
        if is_series(kind):
            return str(self._guard.call(_series, value, most, most_s=_LIBRARY_S))
        return None


def is_frame(kind: type) -> bool:
    """Return whether this is a table of pandas' or polars'."""
    return _of_library(kind, ("DataFrame",))


def is_series(kind: type) -> bool:
    """Return whether this is a column of pandas' or polars', or an index."""
    return _of_library(kind, ("Series", "Index"))


def _of_library(kind: type, names: Iterable[str]) -> bool:
    for each in type.__dict__["__mro__"].__get__(kind)[:-1]:
        library = str(each.__module__).partition(".")[0]
        if library in ("pandas", "polars") and library in sys.modules and class_name(each) in names:
            return True
    return False


def columns_of(frame: Any) -> list[tuple[str, str]]:
    """Return the first columns of a frame with their types."""
    types_ = getattr(frame, "dtypes", ())
    return [(str(name), str(kind)) for name, kind in zip(list(frame.columns[:_COLUMNS]), list(types_)[:_COLUMNS])]


def _frame(frame: Any) -> str:
    rows, columns = frame.shape
    shown = [f"{clip(name, 40)} {kind}" for name, kind in columns_of(frame)]
    more = [f"… {columns - len(shown):,} more"] if columns > len(shown) else []
    return f"{type(frame).__name__} of {rows:,} rows × {columns:,} columns: {', '.join(shown + more)}"


def _series(series: Any, most: int) -> str:
    first = series[:_ELEMENTS]
    values = ", ".join(clip(str(value), 40) for value in (first.to_list() if hasattr(first, "to_list") else first))
    name = f", name {clip(str(series.name), 40)!r}" if getattr(series, "name", None) is not None else ""
    more = ", …" if len(series) > _ELEMENTS else ""
    return clip(f"{type(series).__name__} of {len(series):,} values, {series.dtype}{name}: {values}{more}", most)


def _array(array: Any, most: int) -> str:
    kind, size = str(array.dtype), int(array.size)
    shape = " × ".join(f"{length:,}" for length in array.shape) or "one value"
    shape = f"{shape} values" if len(array.shape) == 1 else shape
    if array.dtype.hasobject:  # whose elements are objects of the script's
        return f"array of {shape}, {clip(kind, 40)}"
    values = ", ".join(clip(str(value), 40) for value in array.flat[:_ELEMENTS].tolist())
    return clip(f"array of {shape}, {clip(kind, 40)}: {values}{', …' if size > _ELEMENTS else ''}", most)


def _string(value: Any, most: int) -> str:
    part = value[:most]
    text = repr(part)
    if len(text) <= most and len(part) == len(value):
        return text
    kept = max(1, most - 24)
    return f"{value[:kept]!r}"[:kept] + f"… {len(value):,} {'characters' if type(value) is str else 'bytes'}"


def _first(values: Any, count: int) -> list[Any]:
    found = []
    for value in values:
        found.append(value)
        if len(found) == count:
            break
    return found


def _name(value: Any) -> str:
    return clip(class_name(type(value)), 80)


def _bare(value: Any) -> str:
    return f"<{_name(value)} object>"
