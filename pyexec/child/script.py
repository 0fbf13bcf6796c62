"""Run source text as `python script.py` would, in this process, and end as the interpreter would end.

Works in the child, confined. Knows nothing of the sandbox; its promise is held by a corpus of scripts that run both
ways. What it rebuilds is what CPython does around a script: `__main__`, the standard streams, uncaught exceptions,
exit codes, threads joined, atexit, objects finalised, streams flushed. It never tears the interpreter down.

Source: CPython Modules/main.c, Python/pythonrun.c (PyErr_PrintEx), Python/pylifecycle.c (Py_FinalizeEx, create_stdio).
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
import itertools
import mmap
import os
import signal
import sys
import time
import traceback
import types
import warnings
import weakref
from typing import Any, Callable, Dict, Iterator, List, Optional, Set

from pyexec.job import SCRIPT_NAME

_HERE = os.path.dirname(os.path.dirname(__file__)) + "/"  # this package
_FILE_INPUT = 257  # Py_file_input, Include/compile.h
_RESERVE = 4 * 1024 * 1024  # lets a script that has used up its memory be told so; arenas of objects have 1 MiB
_WRITERS = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)
_excepthook = sys.__excepthook__  # which the script may take away


def open_streams() -> None:
    """Make `sys.stdin`, `sys.stdout` and `sys.stderr` anew on descriptors 0, 1 and 2, as for files, in UTF-8."""
    errors = ("surrogateescape", "surrogateescape", "backslashreplace")  # as the locale is C.UTF-8
    for fd, name in enumerate(("stdin", "stdout", "stderr")):
        mode = "w" if fd else "r"
        raw: Any = io.FileIO(fd, mode, closefd=False)
        raw.name = "<%s>" % name
        buffer: Any = io.BufferedWriter(raw) if fd else io.BufferedReader(raw)
        # stdout line by line, unlike for a plain file: what was printed so far must outlive SIGKILL at the deadline.
        by_line = fd == 1 or (fd == 2 and sys.version_info >= (3, 9))  # bpo-13601
        # Line ends are translated on Windows only, those of stdin too.
        stream: Any = io.TextIOWrapper(buffer, "utf-8", errors[fd], newline="\n", line_buffering=by_line)
        stream.mode = mode
        setattr(sys, name, stream)
        setattr(sys, "__%s__" % name, stream)


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


def run(
    source: str, directory: str, check: Optional[Callable[[str], None]] = None, moments: Optional[List[float]] = None
) -> int:
    """Run a script and return its exit code, 0 to 255; or end as by Ctrl-C, or return −2 where that is refused.

    Args:
        source: the text, which also stands in the file SCRIPT_NAME. directory: the working directory.
        check: called with the source once it has compiled; may end the process.
        moments: gets the times at which it was compiled, and had run.
    """
    moments = [] if moments is None else moments
    errors = [_attempt(execute, source, new_main(directory).__dict__, check, moments)]
    moments.append(time.monotonic())
    flush()
    codes = [1]
    _attempt(lambda: codes.append(_ended_by(errors[0])))
    interrupted = type(errors.pop()) is KeyboardInterrupt and codes[-1] == 1
    _attempt(lambda: codes.append(_finish(codes[-1])))
    if interrupted:
        codes.append(-2)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        _attempt(signal.raise_signal, signal.SIGINT)  # public scripts may not send signals
    return codes[-1]


def _attempt(step: Callable[..., Any], *arguments: Any) -> Optional[BaseException]:
    """Call a function and return what it raised; what is done about it is done outside of any handler."""
    try:
        step(*arguments)
    except BaseException as error:  # noqa: BLE001
        return error
    return None


def execute(source: str, names: Dict[str, Any], check: Optional[Callable[[str], None]], moments: List[float]) -> None:
    """Compile and run a script in a namespace. Raises whatever it raises."""
    _lower_recursion()
    code = None
    with contextlib.suppress(SyntaxError, ValueError):
        # From bytes, so that a byte order mark or an encoding cookie has its effect.
        code = compile(source.encode("utf-8"), SCRIPT_NAME, "exec", 0, True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they have been shown
        if code is None:
            # The parser of files words errors in its own way; it can be had only together with a run. (Which there
            # may be: before Python 3.12 it finds nothing wrong with a NUL byte.)
            fopen, run_file = ctypes.CDLL(None).fopen, ctypes.pythonapi.PyRun_FileExFlags
            fopen.restype, run_file.restype = ctypes.c_void_p, ctypes.py_object
            name, main = SCRIPT_NAME.encode(), ctypes.py_object(names)
            with open(name):  # else fopen would give NULL
                run_file(ctypes.c_void_p(fopen(name, b"r")), name, _FILE_INPUT, main, main, 1, None)
            return
        if check is not None:
            _attempt(check, source)  # what compiles and is yet too deep for `ast` is left to the rules of run time
    moments.append(time.monotonic())
    # Pages that nothing touches. Not from malloc, which may have to clear them.
    reserve = mmap.mmap(-1, _RESERVE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    try:
        exec(code, names)
    finally:
        # What follows is C code in the interpreter: nothing traces it, and it needs no room, nor on the stack.
        reserve.close()
        sys.settrace(None)
        sys.setprofile(None)
        sys.setrecursionlimit(max(sys.getrecursionlimit(), 200))


def _lower_recursion() -> None:
    """Let the recursion limit be counted from the script's own frame, which the caller is about to run."""
    depth = -1 if sys.version_info >= (3, 12) else 0  # there the call of exec counts too
    frame: Optional[types.FrameType] = sys._getframe()
    while frame is not None:
        depth, frame = depth + 1, frame.f_back
    get, put = sys.getrecursionlimit, sys.setrecursionlimit
    put(get() + depth)
    sys.getrecursionlimit = lambda: get() - depth
    sys.setrecursionlimit = lambda n, /: put(n + depth if isinstance(n, int) and n > 0 else n)


def _ended_by(error: Optional[BaseException]) -> int:
    """Return the exit code of a script that ended with an exception, after showing it as the interpreter does."""
    if error is None or issubclass(type(error), SystemExit):
        return _exit_code(error)
    trace = _hide_own_frames(error)
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, trace
    if sys.version_info >= (3, 12):
        sys.last_exc = error
    if not hasattr(sys, "excepthook"):
        _say("sys.excepthook is missing\n")
        sys.excepthook = _excepthook
    second = _attempt(sys.excepthook, type(error), error, trace)
    if isinstance(second, SystemExit):
        return _exit_code(second)
    if second is not None:
        _say("Error in sys.excepthook:\n")
        _excepthook(type(second), second, _hide_own_frames(second))
        _say("\nOriginal exception was:\n")
        _excepthook(type(error), error, trace)
    return 1


def _exit_code(error: Any) -> int:
    code = error
    with contextlib.suppress(BaseException):  # a property of the script's own
        code = error.code
    if code is None:
        return 0
    if isinstance(code, int):
        # A C long, of which the system keeps one byte; what doesn't fit becomes −1.
        return code & 0xFF if -(2**63) <= code < 2**63 else 255
    # An object without a text, or a stream that is closed: it is just the line's end.
    _attempt(lambda: (_say if getattr(sys, "stderr", None) is None else sys.stderr.write)(str(code)))
    _say("\n")
    return 1


def _say(text: str) -> None:
    """Write to `sys.stderr`, or to the descriptor if that fails, as PySys_WriteStderr does."""
    if _attempt(lambda: sys.stderr.write(text)) is not None:
        _attempt(os.write, 2, text.encode("utf-8", "backslashreplace"))


def _hide_own_frames(error: BaseException) -> Optional[types.TracebackType]:
    """Take the frames of this package out of an exception, its causes and contexts; return its traceback."""
    seen: Set[int] = set()
    waiting: List[Optional[BaseException]] = [error]
    while waiting:
        current = waiting.pop()
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        kept, entry = [], current.__traceback__
        while entry is not None:
            if not entry.tb_frame.f_code.co_filename.startswith(_HERE):
                kept.append(entry)
            entry = entry.tb_next
        for this, following in zip(kept, kept[1:] + [None]):
            this.tb_next = following
        current.__traceback__ = kept[0] if kept else None
        waiting += [current.__cause__, current.__context__]
        if isinstance(current, getattr(builtins, "BaseExceptionGroup", ())):
            waiting += current.exceptions  # type: ignore[attr-defined]
    return error.__traceback__


def _finish(code: int) -> int:
    """Do what the interpreter does after the script, to where only memory is left; return 120 if output was lost."""
    if getattr(sys, "unraisablehook", None) is sys.__unraisablehook__:
        sys.unraisablehook = _report
    if "threading" in sys.modules:
        threading = sys.modules["threading"]
        _say_ignored(_attempt(lambda: threading._shutdown()), "threading shutdown", threading)
    _attempt(atexit._run_exitfuncs)  # it shows errors; before Python 3.10 it raises the last one besides
    lost, unheard = flush()
    _say_ignored(lost, "flushing sys.stdout", getattr(sys, "stdout", None))
    _attempt(let_go)
    flush()  # again, for what finalisers wrote: of a failure nobody hears any more
    return code if lost is None and unheard is None else 120


def flush() -> List[Optional[BaseException]]:
    """Flush stdout and stderr and return what each raised."""
    streams = [getattr(sys, name, None) for name in ("stdout", "stderr")]
    return [_attempt(lambda it: it is None or getattr(it, "closed", False) or it.flush(), each) for each in streams]


def _say_ignored(error: Optional[BaseException], doing: str, where: object) -> None:
    """Report an error, if there is one, that can't be raised, as PyErr_WriteUnraisable does."""
    if error is not None:
        _say("Exception ignored %s\n" % ("on %s:" % doing if sys.version_info >= (3, 13) else "in: %r" % (where,)))
        _excepthook(type(error), error, _hide_own_frames(error))


def _report(about: Any) -> None:
    """Be `sys.unraisablehook`, with our frames left out."""
    trace = _hide_own_frames(about.exc_value)
    sys.__unraisablehook__(type(about)((about.exc_type, about.exc_value, trace, about.err_msg, about.object)))


def let_go() -> None:
    """Let go of the script's objects, so that their finalisers run and their files are flushed."""
    if gc.isenabled():
        gc.collect()  # first what is garbage already; this also has a say in the order of the rest
    sys.modules["io"] = None  # type: ignore[assignment]  # as there: errors of finalisers are shown without source
    vars(sys).update(last_type=None, last_value=None, last_traceback=None, last_exc=None)
    vars(sys).update({name: vars(sys).get("__%s__" % name) for name in ("stdin", "stdout", "stderr")})
    main, mark = sys.modules.pop("__main__", None), {None}
    mark_alive = weakref.ref(mark)
    if type(main) is types.ModuleType:
        main.__dict__["__mark__"] = mark
    del main, mark
    gc.collect()
    if len(sys._current_frames()) > 1:
        return  # daemon threads still use the script's names
    # What there would have gone with the rest may hold on to the script's names: a cache, a hook, a module.
    holders = gc.get_referrers(*filter(None, [mark_alive()]))
    for names in [each for each in holders if type(each) is dict and "__mark__" in each]:
        for kept in ((types.FunctionType, types.ModuleType, type), types.ModuleType):  # last what finalisers call
            for name in [name for name in names if not issubclass(type(names[name]), kept)]:
                names[name] = None
    gc.collect()
    for each in [each for each in gc.get_objects() if issubclass(type(each), _WRITERS)]:
        _attempt(each.flush)


def conceal_own_frames() -> None:
    """Make `traceback` and `warnings` show the script's own frame as the lowest, and no frame of this package."""

    def without_ours(walk: Callable[[Any], Iterator[Any]], stack: bool) -> Callable[[Any], Iterator[Any]]:
        @functools.wraps(walk)
        def walk_others(start: Any) -> Iterator[Any]:
            # Given None it counts callers from its own frame, and this function is one more.
            for entry in itertools.islice(walk(start), stack and start is None, None):
                code = entry[0].f_code
                if stack and code is run.__code__:
                    return
                if not code.co_filename.startswith(_HERE):
                    yield entry

        return walk_others

    def show_others(self: Any, *about: Any, **named: Any) -> None:
        show(self, *about, **named)
        if str(self.filename).startswith(_HERE):  # its stacklevel reaches beyond the script
            self.filename, self.lineno = ("<sys>", 0) if sys.version_info >= (3, 13) else ("sys", 1)

    for name in {"walk_stack", "walk_tb", "_walk_tb_with_full_positions"} & traceback.__dict__.keys():
        setattr(traceback, name, without_ours(getattr(traceback, name), name == "walk_stack"))
    show = warnings.WarningMessage.__init__
    warnings.WarningMessage.__init__ = functools.wraps(show)(show_others)  # type: ignore[method-assign]
