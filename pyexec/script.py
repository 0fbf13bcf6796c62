"""Run source text as `python script.py` would, in this process, and end as the interpreter would end.

Works in the child, confined. Knows nothing of the sandbox; its promise is held by a corpus of scripts that run both
ways. What it rebuilds is what CPython does around a script: `__main__`, the standard streams, uncaught exceptions,
exit codes, threads joined, atexit, objects finalised, streams flushed. It never tears the interpreter down.

Source: CPython Modules/main.c (pymain_run_python), Python/pythonrun.c (PyRun_FileEx, PyErr_PrintEx,
handle_system_exit), Python/pylifecycle.c (Py_FinalizeEx, create_stdio).
"""

from __future__ import annotations

import atexit
import builtins
import contextlib
import ctypes
import functools
import gc
import importlib.machinery
import io
import os
import signal
import sys
import traceback
import types
import warnings
import weakref
from typing import Any, Callable, Dict, Iterator, List, Optional

from pyexec.job import SCRIPT_NAME

EXIT_FLUSH_FAILED = 120
_HERE = os.path.dirname(__file__) + "/"
_FILE_INPUT = 257  # Py_file_input, Include/compile.h


def open_streams() -> None:
    """Make `sys.stdin`, `sys.stdout` and `sys.stderr` anew on descriptors 0, 1 and 2, as for files, in UTF-8.

    Bytes that are no UTF-8 pass through stdin and stdout, as always where the locale is C.UTF-8.
    """
    sys.stdin = sys.__stdin__ = _stream(0, "<stdin>", "r", "surrogateescape", False)  # type: ignore[misc]
    # Line by line, unlike for a plain file: what was printed so far must outlive SIGKILL at the deadline.
    sys.stdout = sys.__stdout__ = _stream(1, "<stdout>", "w", "surrogateescape", True)  # type: ignore[misc]
    by_line = sys.version_info >= (3, 9)  # bpo-13601
    sys.stderr = sys.__stderr__ = _stream(2, "<stderr>", "w", "backslashreplace", by_line)  # type: ignore[misc]


def _stream(fd: int, name: str, mode: str, errors: str, line_buffering: bool) -> Any:
    raw = io.FileIO(fd, mode, closefd=False)
    raw.name = name
    buffer: Any = io.BufferedReader(raw) if mode == "r" else io.BufferedWriter(raw)
    # Line ends are translated on Windows only, those of stdin too.
    stream: Any = io.TextIOWrapper(buffer, "utf-8", errors, newline="\n", line_buffering=line_buffering)
    stream.mode = mode
    return stream


def new_main(directory: str) -> types.ModuleType:
    """Return a fresh `__main__` module, registered, as for a script in `directory`."""
    module = types.ModuleType("__main__")
    path = directory.rstrip("/") + "/" + SCRIPT_NAME
    names = module.__dict__  # in the interpreter's order
    names["__loader__"] = importlib.machinery.SourceFileLoader("__main__", path)
    if sys.version_info < (3, 14):
        names["__annotations__"] = {}
    names.update(__builtins__=builtins, __file__=path if sys.version_info >= (3, 9) else SCRIPT_NAME, __cached__=None)
    sys.modules["__main__"] = module
    sys.argv[:] = [SCRIPT_NAME]
    getattr(sys, "orig_argv", [])[:] = ["python", SCRIPT_NAME]
    return module


def run(source: str, directory: str, check: Optional[Callable[[str], None]] = None) -> int:
    """Run a script and return its exit code: 0 to 255, or −2 when Ctrl-C would have ended it.

    Ends the process instead if it is one that the script forked, or may send itself the signal of Ctrl-C.

    Args:
        source: the text, which also stands in the file SCRIPT_NAME.
        directory: the working directory, for `__file__`.
        check: called with the source once it has compiled; may end the process.
    """
    pid = os.getpid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the template ignores it
    error = _attempt(_execute, source, new_main(directory).__dict__, check)
    _flush("stderr")
    _flush("stdout")
    exit_code = _ended_by(error)
    interrupted = type(error) is KeyboardInterrupt and exit_code == 1
    del error
    exit_code = _finish(exit_code)
    if interrupted:
        exit_code = -2
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        _attempt(signal.raise_signal, signal.SIGINT)  # public scripts may not send signals
    if os.getpid() != pid:
        os._exit(exit_code & 0xFF)
    return exit_code


def _attempt(step: Callable[..., Any], *arguments: Any) -> Optional[BaseException]:
    """Call a function and return what it raised; what is done about it is done outside of any handler."""
    try:
        step(*arguments)
    except BaseException as error:  # noqa: BLE001
        return error
    return None


def _execute(source: str, names: Dict[str, Any], check: Optional[Callable[[str], None]]) -> None:
    _conceal_frames_from(sys._getframe())
    code = None
    with contextlib.suppress(SyntaxError, ValueError):
        # From bytes, so that a byte order mark or an encoding cookie has its effect.
        code = compile(source.encode("utf-8"), SCRIPT_NAME, "exec", 0, True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they have been shown
        if code is None:
            # The parser of files words errors in its own way; it can be had only together with a run. (Which there
            # may be: before Python 3.12 it finds nothing wrong with a NUL byte.)
            return _run_file(SCRIPT_NAME.encode(), ctypes.py_object(names))
        if check is not None:
            # What compiles and is yet too deep for `ast` is left to the rules of run time.
            with contextlib.suppress(SyntaxError, ValueError, RecursionError, MemoryError):
                check(source)
    try:
        exec(code, names)
    finally:
        # What follows is C code in the interpreter, which nothing traces and which needs no room on the stack.
        sys.settrace(None)
        sys.setprofile(None)
        sys.setrecursionlimit(max(sys.getrecursionlimit(), 200))


def _run_file(name: bytes, names: ctypes.py_object[Any]) -> None:
    fopen, run_file = ctypes.CDLL(None).fopen, ctypes.pythonapi.PyRun_FileExFlags
    fopen.restype, run_file.restype = ctypes.c_void_p, ctypes.py_object
    run_file(ctypes.c_void_p(fopen(name, b"r")), name, _FILE_INPUT, names, names, 1, None)


def _conceal_frames_from(frame: types.FrameType) -> None:
    """Let the script's own frame pass for the lowest: to the recursion limit, in tracebacks and in warnings."""
    # Before Python 3.12 the call of exec counts too.
    depth = len(list(traceback.walk_stack(frame))) + (sys.version_info < (3, 12))
    get, put = sys.getrecursionlimit, sys.setrecursionlimit
    put(get() + depth)
    sys.getrecursionlimit = functools.wraps(get)(lambda: get() - depth)
    sys.setrecursionlimit = functools.wraps(put)(lambda n, /: put(n + depth if isinstance(n, int) and n > 0 else n))
    for name in {"walk_stack", "walk_tb", "_walk_tb_with_full_positions"} & set(dir(traceback)):
        setattr(traceback, name, _without_own_frames(getattr(traceback, name)))
    warnings.WarningMessage = _WarningMessage  # type: ignore[misc]


def _without_own_frames(walk: Callable[[Any], Iterator[Any]]) -> Callable[[Any], Iterator[Any]]:
    """Return a function of `traceback` that yields frames as before, but for those of this package and below it."""

    @functools.wraps(walk)
    def walk_others(start: Any) -> Iterator[Any]:
        entries = walk(start)
        if start is None and walk.__name__ == "walk_stack":
            next(entries, None)  # it counts callers from its own frame, and this function is one more
        for entry in entries:
            code = entry[0].f_code
            if code is run.__code__ and walk.__name__ == "walk_stack":
                return
            if not code.co_filename.startswith(_HERE):
                yield entry

    return walk_others


class _WarningMessage(warnings.WarningMessage):
    def __init__(self, message: Any, category: Any, filename: str, lineno: int, *others: Any, **named: Any) -> None:
        if filename.startswith(_HERE):  # its stacklevel reaches beyond the script
            filename, lineno = ("<sys>", 0) if sys.version_info >= (3, 13) else ("sys", 1)
        super().__init__(message, category, filename, lineno, *others, **named)


def _ended_by(error: Optional[BaseException]) -> int:
    """Return the exit code of a script that ended with an exception, after showing it as the interpreter does."""
    if error is None or isinstance(error, SystemExit):
        return _exit_code(error)
    _hide_own_frames(error)
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, error.__traceback__
    if sys.version_info >= (3, 12):
        sys.last_exc = error
    if not hasattr(sys, "excepthook"):
        _say("sys.excepthook is missing\n")
        sys.excepthook = sys.__excepthook__
    second = _attempt(sys.excepthook, type(error), error, error.__traceback__)
    if isinstance(second, SystemExit):
        return _exit_code(second)
    if second is not None:
        _hide_own_frames(second)
        _say("Error in sys.excepthook:\n")
        sys.__excepthook__(type(second), second, second.__traceback__)
        _say("\nOriginal exception was:\n")
        sys.__excepthook__(type(error), error, error.__traceback__)
    return 1


def _exit_code(error: Optional[SystemExit]) -> int:
    wish: object = error
    with contextlib.suppress(BaseException):  # a property of the script's own
        wish = error and error.code
    if wish is None:
        return 0
    if isinstance(wish, int):
        # A C long, of which the system keeps one byte; what doesn't fit becomes −1.
        return wish & 0xFF if -(2**63) <= wish < 2**63 else 255
    write = _say if getattr(sys, "stderr", None) is None else sys.stderr.write
    _attempt(lambda: write(str(wish)))  # without a text, or into a closed stream, it is just the line's end
    _say("\n")
    return 1


def _say(text: str) -> None:
    """Write to `sys.stderr`, or to the descriptor if that fails, as PySys_WriteStderr does."""
    if _attempt(lambda: sys.stderr.write(text)) is not None:
        _attempt(os.write, 2, text.encode("utf-8", "backslashreplace"))


def _hide_own_frames(error: Optional[BaseException]) -> None:
    """Take the frames of this package out of an exception's tracebacks, along its causes and contexts."""
    seen: Dict[int, BaseException] = {}
    waiting: List[Optional[BaseException]] = [error]
    while waiting:
        current = waiting.pop()
        if current is None or id(current) in seen:
            continue
        seen[id(current)] = current
        kept, entry = [], current.__traceback__
        while entry is not None:
            if not entry.tb_frame.f_code.co_filename.startswith(_HERE):
                kept.append(entry)
            entry = entry.tb_next
        for this, following in zip(kept, kept[1:] + [None]):
            this.tb_next = following
        current.__traceback__ = kept[0] if kept else None
        waiting += [current.__cause__, current.__context__]
        waiting += getattr(current, "exceptions", ())


def _finish(code: int) -> int:
    """Do what the interpreter does after the script, up to the point where only memory would be given back."""
    sys.unraisablehook = functools.partial(_report, sys.unraisablehook)
    threading = sys.modules.get("threading")
    if threading is not None:
        _say_ignored(_attempt(threading._shutdown), "threading shutdown", threading)
    _attempt(atexit._run_exitfuncs)  # it shows errors; before Python 3.10 it raises the last one besides
    lost, unheard = _flush("stdout"), _flush("stderr")
    _say_ignored(lost, "flushing sys.stdout", getattr(sys, "stdout", None))
    _let_go()
    # Again, for what finalisers wrote: of a failure nobody hears any more.
    _flush("stdout")
    _flush("stderr")
    return code if lost is None and unheard is None else EXIT_FLUSH_FAILED


def _flush(name: str) -> Optional[BaseException]:
    stream = getattr(sys, name, None)
    return None if stream is None else _attempt(lambda: getattr(stream, "closed", False) or stream.flush())


def _say_ignored(error: Optional[BaseException], doing: str, where: object) -> None:
    """Report an error, if there is one, that can't be raised, as PyErr_WriteUnraisable does."""
    if error is not None:
        _hide_own_frames(error)
        _say("Exception ignored %s\n" % ("on %s:" % doing if sys.version_info >= (3, 13) else "in: %r" % (where,)))
        sys.__excepthook__(type(error), error, error.__traceback__)


def _report(hook: Callable[[Any], Any], about: Any) -> None:
    """Be `sys.unraisablehook` at the end: leave our frames out, then call the one that was there."""
    _hide_own_frames(about.exc_value)
    hook(type(about)((about.exc_type, about.exc_value, about.exc_value.__traceback__, about.err_msg, about.object)))


def _let_go() -> None:
    """Let go of the script's objects, so that their finalisers run and their files are flushed."""
    if gc.isenabled():
        gc.collect()  # first what is garbage already; this also has a say in the order of the rest
    sys.modules["io"] = None  # type: ignore[assignment]  # as there: errors of finalisers are shown without source
    for name in {"last_type", "last_value", "last_traceback", "last_exc"} & set(dir(sys)):
        setattr(sys, name, None)
    for name in ("stdin", "stdout", "stderr"):
        setattr(sys, name, getattr(sys, "__%s__" % name, None))
    mark = {None}
    namespace_lives = weakref.ref(mark)
    main = sys.modules.pop("__main__", None)
    getattr(main, "__dict__", {})["__mark__"] = mark
    del main, mark
    gc.collect()
    if len(sys._current_frames()) > 1:
        return  # daemon threads still use the script's names
    # Something that there would have gone with the rest holds on to the script's objects: a cache, a hook, a module.
    for names in gc.get_referrers(namespace_lives()) if namespace_lives() else ():
        # Last of all what finalisers may call.
        for kept in ((types.FunctionType, types.ModuleType, type), ()):
            for name in [name for name, value in names.items() if not isinstance(value, kept)]:
                names[name] = None
    gc.collect()
    with contextlib.suppress(MemoryError):
        for kind in (io.TextIOWrapper, io.BufferedIOBase):
            for each in [each for each in gc.get_objects() if issubclass(type(each), kind)]:
                _attempt(each.flush)
