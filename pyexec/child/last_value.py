"""The value of a script's last statement, if that is an expression, as a notebook would show it.

The script is compiled with that statement turned into an assignment to a name that no script can write; nothing else
about it changes, tracebacks included. Made only when the request asks for it.
"""

from __future__ import annotations

import ast
import contextlib
import json
import sys
import types
from typing import Any, Callable, Iterable, Sequence, cast

from pyexec.child.guarded import Failed, Guard, TooLong
from pyexec.child.printer import Printer, clip, columns_of, is_frame, is_series
from pyexec.findings import VALUE_CHARS

NAME = "<the last value>"
_ROWS, _COLUMNS, _CELL = 20, 10, 32
_ALL_S, _TABLE_S = 0.5, 0.2
_NODES, _DEEPEST = 5000, 20


def compile_(source: bytes, filename: str, mode: str, flags: int, dont_inherit: bool) -> types.CodeType:
    """Compile as the built-in function does, so that a run leaves the last value under NAME in its namespace."""
    try:
        return _compile(source, filename, mode, flags, dont_inherit)
    except RecursionError:  # a tree may be too deep for Python where the compiler's own is not
        return cast(types.CodeType, compile(source, filename, mode, flags, dont_inherit))


def _compile(source: bytes, filename: str, mode: str, flags: int, dont_inherit: bool) -> types.CodeType:
    tree = compile(source, filename, mode, flags | ast.PyCF_ONLY_AST, dont_inherit)
    last = tree.body[-1] if tree.body else None
    if isinstance(last, ast.Expr):
        target = ast.copy_location(ast.Name(NAME, ast.Store()), last)
        assignment = ast.copy_location(ast.Assign([target], last.value, type_comment=None), last)
        if len(tree.body) == 1 and isinstance(last.value, ast.Constant) and isinstance(last.value.value, str):
            tree.body.append(assignment)  # the module's docstring remains one
        else:
            tree.body[-1] = assignment
    return cast(types.CodeType, compile(tree, filename, mode, flags, dont_inherit))


def describe(value: Any, most: int = VALUE_CHARS) -> dict[str, Any]:
    """Return a value in the shape of `findings.VALUE`, `json` as text; each text has at most so many characters."""
    kind = type(value)
    with Guard(_ALL_S) as guard:
        text = None if is_frame(kind) or is_series(kind) else _text(value, guard, most)
        found: dict[str, Any] = {"repr": Printer(guard).show(value, most) if text is None else text}
        if _is_json(value):
            with contextlib.suppress(UnicodeEncodeError):  # half of a surrogate pair is no JSON
                as_json = json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8").decode("utf-8")
                if len(as_json) <= most:
                    found["json"] = as_json
        rows, whole = _table(value, guard)
        if rows:
            found["markdown"] = clip("\n".join(rows), most)
        if not whole or (text is None and "…" in found["repr"]):
            found["truncated"] = True
    return found


def _text(value: Any, guard: Guard, most: int) -> str | None:
    """Return the whole repr of a value; None if it would be long, takes long, or raises something."""
    kind = type(value)
    if kind in (str, bytes, bytearray) and len(value) > most:
        return None
    if kind is int and value.bit_length() > 3 * most:
        return None
    try:
        text = str.__str__(guard.call(repr, value))
    except (Failed, TooLong):
        return None
    return text if len(text) <= most else None


def _is_json(value: Any) -> bool:
    """Return whether a value is the same after a journey as JSON, and small enough for one."""
    level, seen = [value], 0
    for _ in range(_DEEPEST):
        following: list[Any] = []
        for each in level:
            kind = type(each)
            if kind in (list, dict) and len(each) > _NODES:
                return False
            if kind is list:
                following += each
            elif kind is dict:
                if not all(type(key) is str for key in each):
                    return False
                following += each.values()
            elif kind is float:
                if each != each or each in (float("inf"), float("-inf")):
                    return False
            elif kind is int:
                if each.bit_length() > 1024:
                    return False
            elif kind not in (str, bool, type(None)):
                return False
            seen += 1
            if seen + len(following) > _NODES:
                return False
        level = following
        if not level:
            return True
    return False


# -- tables ------------------------------------------------------------------------------------------------------------


def _table(value: Any, guard: Guard) -> tuple[list[str], bool]:
    """Return a frame, a column, or an array of one or two dimensions as lines of Markdown, and whether that is all."""
    kind = type(value)
    numpy = sys.modules.get("numpy")
    make: Callable[[Any], tuple[list[str], bool]] | None = None
    if is_frame(kind):
        make = _of_frame
    elif is_series(kind):
        make = _of_series
    elif numpy is not None and issubclass(kind, numpy.ndarray) and value.ndim in (1, 2) and not value.dtype.hasobject:
        make = _of_array
    if make is None:
        return [], True
    try:
        rows, whole = guard.call(make, value, most_s=_TABLE_S)
    except (Failed, TooLong):  # an object that only looks like a frame, or a large one
        return [], True
    return rows, whole


def _of_frame(frame: Any) -> tuple[list[str], bool]:
    rows, columns = frame.shape
    part = frame[:_ROWS]
    names = [name for name, _ in columns_of(part)][:_COLUMNS]
    if hasattr(part, "iloc"):
        index = [str(label) for label in part.index]
        cells = [list(part.iloc[:, place]) for place in range(len(names))]
        body: Iterable[Sequence[Any]] = zip(index, *cells) if cells else [(label,) for label in index]
        names.insert(0, "")
    else:
        body = [row[:_COLUMNS] for row in part.rows()]
    return _lines(names, body, rows, columns)


def _of_series(series: Any) -> tuple[list[str], bool]:
    part = series[:_ROWS]
    values = part.to_list() if hasattr(part, "to_list") else list(part)
    labels = list(part.index) if hasattr(part, "iloc") else range(len(values))
    name = getattr(series, "name", None)
    return _lines(["", "value" if name is None else str(name)], zip(labels, values), len(series), 1)


def _of_array(array: Any) -> tuple[list[str], bool]:
    if array.ndim == 1:
        return _lines(["", "value"], enumerate(array[:_ROWS].tolist()), array.shape[0], 1)
    rows, columns = array.shape
    names = ["", *map(str, range(min(columns, _COLUMNS)))]
    body = [(place, *row) for place, row in enumerate(array[:_ROWS, :_COLUMNS].tolist())]
    return _lines(names, body, rows, columns)


def _lines(names: Sequence[str], body: Iterable[Sequence[Any]], rows: int, columns: int) -> tuple[list[str], bool]:
    found = [_row(names), _row(["---"] * len(names))]
    found += [_row([format(cell, ".6g") if type(cell) is float else str(cell) for cell in row]) for row in body]
    whole = rows <= _ROWS and columns <= _COLUMNS
    if not whole:
        found.append("")
        found.append(
            f"{rows:,} rows × {columns:,} columns; the first {min(rows, _ROWS)} × {min(columns, _COLUMNS)} are shown"
        )
    return found, whole


def _row(cells: Sequence[str]) -> str:
    cells = [clip(" ".join(cell.split()), _CELL).replace("\\", "\\\\").replace("|", "\\|") for cell in cells]
    return "| " + " | ".join(cells) + " |"
