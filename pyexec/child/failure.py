"""How a script failed, with the values at fault: what `execution_details.error` is made of.

Made once the traceback has been shown, so that nothing here can keep that from the caller. Only frames of the script
itself are told of, the innermost first. Of its variables those come first that the failing line names, then parts of
them that the line names (`rows[i]`, `order.price`, looked up without running code of the script's), then those of the
loops around it.
"""

from __future__ import annotations

import ast
import collections
import re
import sys
import types
from typing import Any, Iterator

from pyexec.child.guarded import Failed, Guard, NoTime, TooLong
from pyexec.child.printer import Printer, clip
from pyexec.findings import FRAMES, LOCALS_CHARS
from pyexec.job import SCRIPT_NAME

_NAMES = 40  # of variables of one frame
_AT_FAULT, _OTHER = 400, 100  # characters of one value
_LEAST = 16
_PARTS = 6
_LARGE = 1 << 20  # bytes from which on an object counts where memory ran out
_SAMPLE = 50
_LINE_BREAK = re.compile(r"\r\n|\r|\n")
_SYNTAX_ERRORS = (SyntaxError, IndentationError, TabError)
_WORD = re.compile(r"[^\W\d]\w*")
_IMPORTED = (types.ModuleType, types.FunctionType, types.BuiltinFunctionType, type)
# What makes a function, class or module on the failing line worth showing.
_OF_FUNCTIONS = ("'function' object", "'module' object", "'type' object", "'builtin_function_or_method' object")


class Place:
    """A frame of the script, and the line it is at."""

    def __init__(self, frame: types.FrameType, line: int, code: str) -> None:
        """Take a frame, the number of its line, and that line's text."""
        self.frame, self.line, self.code = frame, line, code


def of_exception(error: BaseException, source: str, with_locals: bool) -> dict[str, Any]:
    """Return what an exception and its traceback tell, in the shape of `findings.ERROR`.

    Args:
        source: the script. with_locals: whether to show values.
    """
    lines = _LINE_BREAK.split(source)
    with Guard() as guard:
        places, omitted = _places(_of_traceback(error.__traceback__), lines, keep_last=True)
        found = _report(_type_name(type(error)), _message(error, guard), places, omitted)
        if issubclass(type(error), SyntaxError) and getattr(error, "filename", None) == SCRIPT_NAME:
            found["line"] = error.lineno if type(error.lineno) is int else None  # type: ignore[attr-defined]
            found["code"] = _line(lines, found["line"] or 0)
        if with_locals:
            printer = Printer(guard)
            _add_locals(found, places, printer, lines)
            if issubclass(type(error), MemoryError):
                _add_largest(found, places, guard, printer)
    return found


def of_frame(frame: types.FrameType | None, source: str, with_locals: bool) -> dict[str, Any]:
    """Return where a script is whose time or memory is nearly used up, in the same shape."""
    lines = _LINE_BREAK.split(source)
    with Guard() as guard:
        places, omitted = _places(_of_stack(frame), lines, keep_last=False)
        found = _report("TimeoutError", "The script was here when its time was up.", places, omitted)
        if with_locals:
            printer = Printer(guard)
            _add_locals(found, places, printer, lines)
            _add_largest(found, places, guard, printer)
    return found


def _of_traceback(trace: types.TracebackType | None) -> Iterator[tuple[types.FrameType, int]]:
    while trace is not None:
        yield trace.tb_frame, trace.tb_lineno
        trace = trace.tb_next


def _of_stack(frame: types.FrameType | None) -> Iterator[tuple[types.FrameType, int]]:
    while frame is not None:
        yield frame, frame.f_lineno
        frame = frame.f_back


def _places(
    entries: Iterator[tuple[types.FrameType, int]], lines: list[str], keep_last: bool
) -> tuple[list[Place], int]:
    """Return the innermost frames of the script, the innermost first, and how many others there are."""
    kept: collections.deque[tuple[types.FrameType, int]] = collections.deque(maxlen=FRAMES)
    count = 0
    for entry in entries:
        if entry[0].f_code.co_filename == SCRIPT_NAME:
            count += 1
            if keep_last or count <= FRAMES:
                kept.append(entry)
    if keep_last:
        kept.reverse()
    return [Place(frame, line or 0, _line(lines, line or 0)) for frame, line in kept], count - len(kept)


def _line(lines: list[str], number: int) -> str:
    return clip(lines[number - 1].strip(), 300) if 0 < number <= len(lines) else ""


def _report(kind: str, message: str, places: list[Place], omitted: int) -> dict[str, Any]:
    found: dict[str, Any] = {"type": kind, "message": message}
    found["line"], found["code"] = (places[0].line, places[0].code) if places else (None, "")
    found["frames"] = [
        {"line": place.line, "function": clip(place.frame.f_code.co_name, 200), "code": place.code} for place in places
    ]
    if omitted:
        found["frames_omitted"] = omitted
    return found


def _message(error: BaseException, guard: Guard) -> str:
    try:
        of_syntax = type(error) in _SYNTAX_ERRORS
        text = error.msg if of_syntax else guard.call(str, error)  # type: ignore[attr-defined]
    except (Failed, TooLong):
        return "<exception str() failed>"  # as in a traceback
    return clip(str.__str__(text), 1000)


def _type_name(kind: type) -> str:
    module, name = str(kind.__module__), str(kind.__qualname__)
    return clip(name if module in ("builtins", "__main__") else f"{module}.{name}", 200)


# -- variables ---------------------------------------------------------------------------------------------------------


def _add_locals(found: dict[str, Any], places: list[Place], printer: Printer, lines: list[str]) -> None:
    left = LOCALS_CHARS
    functions_too = any(words in found["message"] for words in _OF_FUNCTIONS)
    for entry, place in zip(found["frames"], places):
        values = dict(place.frame.f_locals)
        fault = _named_on(place.code)
        first = [name for name in fault if name in values]
        loops = [name for name in _loop_names(lines, place.line) if name in values and name not in first]
        rest = [name for name in values if name not in first and name not in loops]
        shown: dict[str, str] = {}
        wanted = [(name, values[name]) for name in first if functions_too or not _is_imported(values[name])]
        wanted += _parts(place.code, values)
        limits = [_AT_FAULT] * len(wanted)
        others = [name for name in loops + rest if _is_variable(name, values[name])]
        wanted += [(name, values[name]) for name in others]
        limits += [_OTHER] * len(others)
        for (name, value), most in list(zip(wanted, limits))[:_NAMES]:
            if left < _LEAST:
                break
            shown[clip(name, 100)] = printer.show(value, min(most, left))
            left -= len(shown[clip(name, 100)])
        entry["locals"] = shown
        if len(wanted) > len(shown):
            entry["locals_omitted"] = len(wanted) - len(shown)


def _is_imported(value: Any) -> bool:
    return issubclass(type(value), _IMPORTED)


def _is_variable(name: str, value: Any) -> bool:
    return not name.startswith(("__", ".")) and not _is_imported(value)


def _named_on(code: str) -> list[str]:
    """Return the words of a line, each once, in order: a name in a string may be a variable of an f-string."""
    return list(dict.fromkeys(_WORD.findall(code)))


def _loop_names(lines: list[str], number: int) -> list[str]:
    """Return the names in the heads of the loops around a line, the innermost first, by their indentation."""
    names: list[str] = []
    depth = _depth(lines[number - 1]) if 0 < number <= len(lines) else 0
    for text in reversed(lines[: max(0, number - 1)]):
        stripped = text.strip()
        if stripped and not stripped.startswith("#") and _depth(text) < depth:
            depth = _depth(text)
            if stripped.startswith(("for ", "while ", "async for ")):
                names += _named_on(stripped)
    return names


def _depth(text: str) -> int:
    return len(text) - len(text.lstrip())


def _parts(code: str, values: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return the parts of variables that a line names, such as `rows[i]` and `order.price`, with their values."""
    found: dict[str, Any] = {}
    for text in (code, code + " pass", code[2:] + " pass"):  # a head of a block, `elif` as well
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, (ast.Subscript, ast.Attribute)) and len(found) < _PARTS:
                try:
                    value = _looked_up(node, values)
                except (LookupError, TypeError, AttributeError):
                    continue
                name = ast.get_source_segment(text, node)
                if name is not None and not issubclass(type(value), _IMPORTED):
                    found[name] = value
        break
    return list(found.items())


def _looked_up(node: ast.AST, values: dict[str, Any]) -> Any:
    """Return the value of an expression of names, subscripts and attributes, found without calling anything.

    Raises:
        LookupError, TypeError: it has none, or can't be found without calling something.
    """
    if isinstance(node, ast.Name):
        return values[node.id]
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
        return -node.operand.value  # type: ignore[operator]
    if node.__class__.__name__ == "Index":  # of Python 3.8
        return _looked_up(node.value, values)  # type: ignore[attr-defined]
    if isinstance(node, ast.Subscript):
        holder, index = _looked_up(node.value, values), _looked_up(node.slice, values)
        if type(holder) in (list, tuple, dict, str) and type(index) in (int, str, bool, float):
            return holder[index]
    if isinstance(node, ast.Attribute):
        return object.__getattribute__(_looked_up(node.value, values), "__dict__")[node.attr]
    raise TypeError


# -- memory ------------------------------------------------------------------------------------------------------------


def _add_largest(found: dict[str, Any], places: list[Place], guard: Guard, printer: Printer) -> None:
    named: dict[str, Any] = {}
    for place in places:
        for values in (place.frame.f_locals, place.frame.f_globals):
            for name, value in list(values.items())[:200]:
                if _is_variable(name, value):
                    named.setdefault(name, value)
    sizes: dict[str, tuple[int, Any]] = {}
    for name, value in named.items():
        try:
            sizes[name] = (int(guard.call(size_of, value)), value)
        except NoTime:
            break
        except (Failed, TooLong):  # one that doesn't answer doesn't keep us from the others
            continue
    ordered = sorted(sizes.items(), key=lambda item: -item[1][0])
    large = [
        {"name": clip(name, 100), "size_bytes": size, "value": printer.show(value, 100)}
        for name, (size, value) in ordered[:5]
        if size >= _LARGE
    ]
    if large:
        found["largest"] = large


def size_of(value: Any, depth: int = 2) -> int:
    """Return about how many bytes an object holds; that of a long container is estimated from its first items."""
    kind = type(value)
    total = sys.getsizeof(value)
    # Of its class: a script's `__getattr__` may answer to any name.
    held = value.nbytes if any("nbytes" in vars(base) for base in kind.__mro__) else None
    if held is None and kind.__name__ == "DataFrame":
        held = value.memory_usage().sum()
    if held is not None and type(held) is not types.MethodType:
        total = max(total, int(held))
    if kind in (list, tuple, set, frozenset, dict) and depth and len(value):
        items = value.values() if kind is dict else value
        sample = [each for each, _ in zip(items, range(_SAMPLE))]
        total += sum(size_of(each, depth - 1) for each in sample) * len(value) // len(sample)
    return total
