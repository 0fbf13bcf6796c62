"""Run source text as `python script.py` would, in this process, and end as the interpreter would end.

Works in the child, confined. Knows nothing of the sandbox; its promise is held by a corpus of scripts that run both
ways. What it rebuilds is what CPython does around a script: `__main__`, the standard streams, uncaught exceptions,
exit codes, threads joined, atexit, objects finalised, streams flushed. It never tears the interpreter down.

Source: CPython Modules/main.c (pymain_run_python), Python/pylifecycle.c (Py_FinalizeEx, create_stdio).
"""

from __future__ import annotations

import atexit
import builtins
import gc
import io
import sys
import types
from typing import Any, Callable, Dict, List, Optional, TextIO, Tuple

from pyexec.job import SCRIPT_NAME

EXIT_FLUSH_FAILED = 120
_OWN_FILES = {__file__, __file__.replace("script.py", "imports.py"), __file__.replace("script.py", "child.py")}


def open_streams() -> None:
    """Make `sys.stdin`, `sys.stdout` and `sys.stderr` anew on descriptors 0, 1 and 2, as for files, in UTF-8."""
    sys.stdin = sys.__stdin__ = _stream(0, "<stdin>", "r", "strict", False)  # type: ignore[misc]
    # Line by line, unlike for a plain file: what was printed so far must outlive SIGKILL at the deadline.
    sys.stdout = sys.__stdout__ = _stream(1, "<stdout>", "w", "strict", True)  # type: ignore[misc]
    # Line by line since Python 3.9 (bpo-13601).
    sys.stderr = sys.__stderr__ = _stream(2, "<stderr>", "w", "backslashreplace", sys.version_info >= (3, 9))  # type: ignore[misc]


def _stream(fd: int, name: str, mode: str, errors: str, line_buffering: bool) -> TextIO:
    raw = io.FileIO(fd, mode, closefd=False)
    raw.name = name  # type: ignore[misc]
    buffer: Any = io.BufferedReader(raw) if mode == "r" else io.BufferedWriter(raw)
    newline = None if mode == "r" else "\n"
    stream = io.TextIOWrapper(buffer, "utf-8", errors, newline=newline, line_buffering=line_buffering)
    stream.mode = mode  # type: ignore[misc]
    return stream


def new_main(directory: str) -> types.ModuleType:
    """Return a fresh `__main__` module, registered, as for a script in `directory`."""
    module = types.ModuleType("__main__")
    module.__dict__.update(__builtins__=builtins, __file__=directory.rstrip("/") + "/" + SCRIPT_NAME, __cached__=None)
    if sys.version_info < (3, 14):
        module.__dict__["__annotations__"] = {}
    sys.modules["__main__"] = module
    sys.argv[:] = [SCRIPT_NAME]
    if hasattr(sys, "orig_argv"):
        sys.orig_argv[:] = ["python", SCRIPT_NAME]
    return module


def run(source: str, directory: str, check: Optional[Callable[[str], None]] = None) -> int:
    """Run a script and return its exit code: 0 to 255, or −2 when Ctrl-C would have ended it.

    Args:
        source: the text; one leading byte order mark is taken off, as the interpreter does.
        directory: the working directory, for `__file__`.
        check: called with the source before it is compiled; may end the process; may raise SyntaxError.
    """
    code = 0
    main = new_main(directory)
    if source.startswith("\ufeff"):
        source = source[1:]
    try:
        if check is not None:
            check(source)
        exec(compile(source, SCRIPT_NAME, "exec", 0, True), main.__dict__)
    except BaseException as error:
        code = _ended_by(error)
    del main
    return _finish(code)


def _ended_by(error: BaseException) -> int:
    """Return the exit code of a script that ended with an exception, after showing it as the interpreter does."""
    if isinstance(error, SystemExit):
        return _exit_code(error.code)
    _hide_own_frames(error)
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, error.__traceback__
    if sys.version_info >= (3, 12):
        sys.last_exc = error
    _flush(sys.stdout)
    hook = getattr(sys, "excepthook", sys.__excepthook__)
    try:
        hook(type(error), error, error.__traceback__)
    except SystemExit as wish:
        return _exit_code(wish.code)
    except BaseException as second:
        _hide_own_frames(second)
        second.__context__ = None
        _say("Error in sys.excepthook:\n")
        sys.__excepthook__(type(second), second, second.__traceback__)
        _say("\nOriginal exception was:\n")
        sys.__excepthook__(type(error), error, error.__traceback__)
    return -2 if isinstance(error, KeyboardInterrupt) else 1


def _exit_code(wish: object) -> int:
    if wish is None:
        return 0
    if isinstance(wish, int):
        # A C long, of which the system keeps one byte; what doesn't fit becomes −1.
        return wish & 0xFF if -(2**63) <= wish < 2**63 else 255
    _flush(sys.stdout)
    _say("%s\n" % (wish,))
    return 1


def _say(text: str) -> None:
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (AttributeError, OSError, ValueError):
        return  # the script closed or replaced its stderr: there is nobody to tell, as under plain python


def _hide_own_frames(error: BaseException) -> None:
    """Take the frames of this package out of an exception's tracebacks, along its causes and contexts."""
    seen: Dict[int, BaseException] = {}
    waiting: List[Optional[BaseException]] = [error]
    while waiting:
        current = waiting.pop()
        if current is None or id(current) in seen:
            continue
        seen[id(current)] = current
        kept = []
        entry = current.__traceback__
        while entry is not None:
            if entry.tb_frame.f_code.co_filename not in _OWN_FILES:
                kept.append(entry)
            entry = entry.tb_next
        for this, following in zip(kept, kept[1:] + [None]):  # type: ignore[list-item]
            this.tb_next = following
        current.__traceback__ = kept[0] if kept else None
        waiting += [current.__cause__, current.__context__]
        waiting += getattr(current, "exceptions", ())


def _flush(stream: object) -> Optional[BaseException]:
    try:
        if stream is not None and not getattr(stream, "closed", False):
            stream.flush()  # type: ignore[attr-defined]
    except BaseException as error:
        return error
    return None


def _finish(code: int) -> int:
    """Do what the interpreter does after the script, up to the point where only memory would be given back."""
    threading = sys.modules.get("threading")
    if threading is not None:
        _shielded(threading._shutdown)  # type: ignore[attr-defined]
    _shielded(atexit._run_exitfuncs)
    failed = _flush_both()
    # Let go of the script's objects, so that their files are flushed and their __del__ runs.
    sys.modules.pop("__main__", None)
    for name in ("last_type", "last_value", "last_traceback", "last_exc"):
        sys.__dict__.pop(name, None)
    gc.collect()
    failed = _flush_both() or failed
    return EXIT_FLUSH_FAILED if failed else code


def _shielded(step: Callable[[], Any]) -> None:
    try:
        step()
    except SystemExit:
        return  # as the interpreter: too late to change the exit code
    except BaseException as error:
        _hide_own_frames(error)
        sys.__excepthook__(type(error), error, error.__traceback__)


def _flush_both() -> bool:
    """Flush stdout and stderr; return whether the output of stdout was lost."""
    error = _flush(sys.stdout)
    if error is not None:
        _say("Exception ignored in: %r\n%s: %s\n" % (sys.stdout, type(error).__name__, error))
    _flush(sys.stderr)
    return error is not None


