"""Calls without a frame below them: what a script does is then at the bottom of the stack, as under plain Python.

`traceback.print_stack`, `inspect.stack`, `sys._getframe(1)`, the level of a warning and faulthandler follow the frames
down to the lowest one, in C or where no filter reaches. CPython keeps the current frame of a thread in a field of its
thread state, and a frame that is made for a call from C gets what is there as the one below it. So the field is NULL
during such a call. Nothing else changes: the caller's own frame is held by the interpreter's loop in a variable. The
field is written by an assignment, not by a call, since a profile function that a script leaves would be called for it.

Where the field lies depends on the version. It is looked for once, by what it must hold; where it isn't found (another
version, a debug build, one without the GIL), frames of ours stay below, and `frames` hides them from `traceback`.
"""

from __future__ import annotations

import ctypes
import functools
import sys
import sysconfig
import types
from typing import Any, Callable

_WORD = ctypes.sizeof(ctypes.c_void_p)
_KNOWN = (3, 8), (3, 14)
_INTERPRETER_FRAME = 3  # word of a frame object, from Python 3.11 on: where the interpreter keeps its part
_CFRAME = 7  # word of the thread state, 3.11 and 3.12: where its current "C frame" lies
_WORDS = 32  # of the thread state, which is far larger
_set_trace, _set_profile = sys.settrace, sys.setprofile
_at: Any = ctypes.c_size_t.from_address


def _find() -> tuple[int, bool, int]:
    """Return the address of the field; or that of a pointer, True, and the field's distance from where that points.

    0 if it isn't found.
    """
    version, nowhere = sys.version_info[:2], (0, False, 0)
    odd = hasattr(sys, "gettotalrefcount") or bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    if sys.implementation.name != "cpython" or not _KNOWN[0] <= version <= _KNOWN[1] or odd:
        return nowhere
    state_of = ctypes.pythonapi.PyThreadState_Get
    state_of.restype = ctypes.c_size_t
    state: int = state_of()
    # All without a call of a Python function, which would be the current frame meanwhile.
    words = (ctypes.c_size_t * _WORDS).from_address(state)[:]
    frame = id(sys._getframe())
    if version >= (3, 11):
        frame = _at(frame + _INTERPRETER_FRAME * _WORD).value
    if version in ((3, 11), (3, 12)):
        inner = _WORD if version == (3, 11) else 0
        return (state + _CFRAME * _WORD, True, inner) if _at(words[_CFRAME] + inner).value == frame else nowhere
    return (state + words.index(frame) * _WORD, False, 0) if words.count(frame) == 1 else nowhere


_address, _indirect, _inner = _find()
_field = _at(_address) if _address else ctypes.c_size_t()
FOUND = bool(_address)  # else frames of ours stay below the script's


def execute(program: Any, names: dict[str, Any]) -> None:
    """Execute code in a namespace, at the bottom of the stack, and remove the hooks that it leaves.

    In the thread that has loaded this module, as for all functions here.
    """
    field = _at(_field.value + _inner) if _indirect else _field
    kept = field.value
    try:
        field.value = 0
        exec(program, names)
    finally:
        field.value = kept
        _set_trace(None)
        _set_profile(None)


def take_main() -> Any:
    """Take the script's module out of `sys.modules`; where `inspect` meets frames of ours, it needs one there."""
    main = sys.modules.pop("__main__", None)
    if not FOUND:
        sys.modules["__main__"] = types.ModuleType("__main__")
    return main


def call(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function at the bottom of the stack, and return what it returns."""
    if not callable(function):
        return function(*arguments)  # for the error's sake
    from_c = functools.partial(function, *arguments)
    field = _at(_field.value + _inner) if _indirect else _field
    kept = field.value
    try:
        field.value = 0
        return from_c()
    finally:
        field.value = kept


def attempt(step: Callable[..., Any], *arguments: Any) -> BaseException | None:
    """Call a function as `call` does and return what it raised, so that it's dealt with outside of any handler."""
    try:
        call(step, *arguments)
    except BaseException as error:  # noqa: BLE001
        return error
    return None
