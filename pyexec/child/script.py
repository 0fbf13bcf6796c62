"""Run source text as `python script.py` would, in this process, and end as the interpreter would end.

What CPython does around a script is done here in the same order, in five steps that each return an `Exit`:

    compile_        source text → code; the errors of the parser
    execute         code → what it raised
    show_exception  the traceback, by `sys.excepthook`; the exit code
    finish          threads joined, atexit, standard streams flushed
    let_go          objects finalised, files flushed

Only the teardown of the interpreter itself is left out: the process is about to be killed.

From the end of `execute` on, no frame and no object of ours may hold the exception or the script's namespace. The
exception has a traceback, that has the script's frames, and they have its local variables; what is still held during
`let_go` is finalised late or never, so that `__del__` prints in another order than under plain Python, or not at all.
That is why a step takes the `Exit` of the one before and gives back a new one. After `show_exception` only
`sys.last_value` holds the exception, as under plain Python, until `let_go` clears that.

Runs in the child, and in the zygote for the warm-up. A corpus of scripts, each run both ways, holds it to its promise.

Source: CPython Modules/main.c, Python/pythonrun.c (PyErr_PrintEx), Python/pylifecycle.c (Py_FinalizeEx, create_stdio).
"""

from __future__ import annotations

import atexit
import builtins
import contextlib
import ctypes
import gc
import importlib.machinery
import io
import os
import signal
import sys
import time
import types
import warnings
import weakref
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap
from typing import Any, Callable, Dict, NamedTuple, Optional

from pyexec.child import bottom, frames, libraries, streams, tracebacks
from pyexec.child.witness import NOBODY, Witness
from pyexec.job import SCRIPT_NAME

_FILE_INPUT = 257  # Py_file_input, Include/compile.h
_RESERVE = 4 * 1024 * 1024  # lets a script that has used up its memory be told so; arenas of objects have 1 MiB
_WRITERS = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)
_excepthook = sys.__excepthook__  # which the script may take away
_Check = Optional[Callable[[str], None]]
_Names = Dict[str, Any]


class Exit(NamedTuple):
    """How the script ends, as far as it is known after a step."""

    code: int
    error: BaseException | None = None  # what it raised, until that is shown
    interrupted: bool = False  # by KeyboardInterrupt: the process ends as by Ctrl-C


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
    source: str, directory: str, check: _Check = None, timestamps: list[float] | None = None, witness: Witness = NOBODY
) -> int:
    """Run a script and return its exit code, 0 to 255; or end as by Ctrl-C, or return −2 where that is refused.

    Args:
        source: the text, which also stands in the file SCRIPT_NAME. directory: the working directory.
        check: called with the source once it has compiled; may end the process.
        timestamps: gets the times at which it was compiled, and had run. witness: is told how it ended.
    """
    timestamps = [] if timestamps is None else timestamps
    end = start(source, new_main(directory).__dict__, check, timestamps, witness)
    timestamps.append(time.monotonic())
    streams.flush()
    end = show_exception(end, witness)
    end = finish(end)
    end = let_go(end)
    if not end.interrupted:
        return end.code
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    bottom.attempt(signal.raise_signal, signal.SIGINT)  # public scripts may not send signals
    return -2


def start(source: str, names: _Names, check: _Check, timestamps: list[float], witness: Witness = NOBODY) -> Exit:
    """Take the first two steps, in a frame of their own: it holds the namespace, and is gone when they are done."""
    program = compile_(source, names, check, witness)
    if isinstance(program, Exit):
        return program
    timestamps.append(time.monotonic())
    return execute(program, names, witness)


def compile_(source: str, names: _Names, check: _Check, witness: Witness = NOBODY) -> types.CodeType | Exit:
    """Return the script's code, or how it ends if it has none."""
    frames.discount()
    try:
        try:
            # From bytes, so that a byte order mark or an encoding cookie has its effect.
            program: types.CodeType | None = witness.compile(source.encode("utf-8"), SCRIPT_NAME, "exec", 0, True)
        except (SyntaxError, ValueError):
            program = None
        if program is not None and check is None:
            return program
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they have been shown
            if program is None:
                # The parser of files words errors in its own way; it can be had only together with a run. (Which there
                # may be: before Python 3.12 it finds nothing wrong with a NUL byte.)
                fopen, run_file = ctypes.CDLL(None).fopen, ctypes.pythonapi.PyRun_FileExFlags
                fopen.restype, run_file.restype = ctypes.c_void_p, ctypes.py_object
                name, main = SCRIPT_NAME.encode(), ctypes.py_object(names)
                with open(name):  # else fopen would give NULL
                    run_file(ctypes.c_void_p(fopen(name, b"r")), name, _FILE_INPUT, main, main, 1, None)
            elif check is not None:
                # What compiles and is yet too deep for `ast` is left to the rules of run time.
                bottom.attempt(check, source)
    except BaseException as error:  # noqa: BLE001
        return Exit(1, error)
    return Exit(0) if program is None else program


def execute(program: types.CodeType, names: _Names, witness: Witness = NOBODY) -> Exit:
    """Run code in a namespace, at the depth that `compile_` discounted: both are called by the same function."""
    try:
        # Pages that nothing touches. Not from malloc, which may have to clear them.
        reserve = mmap(-1, _RESERVE, MAP_PRIVATE | MAP_ANONYMOUS)
        try:
            bottom.execute(program, names)
        finally:
            # In C, before any line of Python: the script may have left no memory and no depth.
            reserve.close()
            sys.setrecursionlimit(max(sys.getrecursionlimit(), 200))
    except BaseException as error:  # noqa: BLE001
        return Exit(1, error)
    if witness.value:
        witness.succeeded(names)
    return Exit(0)


def show_exception(end: Exit, witness: Witness = NOBODY) -> Exit:
    """Show what the script raised, as the interpreter does, and find out the exit code that it stands for."""
    if end.error is None:
        return end
    code = 1
    with contextlib.suppress(BaseException):  # raised by what the script has put in the way
        code = _shown(end.error)
    witness.failed(end.error)
    kind = type(end.error)
    interrupted = issubclass(kind, KeyboardInterrupt) if sys.version_info >= (3, 14) else kind is KeyboardInterrupt
    return Exit(code, interrupted=interrupted and code == 1)


def finish(end: Exit) -> Exit:
    """Join threads, call the functions of `atexit` and flush; the exit code is 120 if output was lost."""
    if getattr(sys, "unraisablehook", None) is sys.__unraisablehook__:
        sys.unraisablehook = _report
    lost: list[BaseException | None] = []
    try:
        threading: Any = sys.modules.get("threading")
        # Only if there is anything to wait for: it touches many pages, which would be copied in each run.
        if threading and (len(threading._active) > 1 or threading._limbo or vars(threading).get("_threading_atexits")):
            _say_ignored(bottom.attempt(lambda: threading._shutdown()), "threading shutdown", threading)
        if atexit._ncallbacks():
            bottom.attempt(atexit._run_exitfuncs)  # it shows errors; before Python 3.10 it raises the last one besides
        if "logging" in sys.modules:
            bottom.attempt(libraries.close_logging)
        lost = streams.flush()
        _say_ignored(lost[0], "flushing sys.stdout", getattr(sys, "stdout", None))
    except BaseException:  # noqa: BLE001 - raised by what the script has put in the way
        lost.append(None)  # no output is lost by that
    return end if lost.count(None) == len(lost) else end._replace(code=120)


def let_go(end: Exit) -> Exit:
    """Let go of the script's objects, so that their finalisers run and their files are flushed."""
    bottom.attempt(_release)
    streams.flush()  # again, for what finalisers wrote: of a failure nobody hears any more
    return end


def _shown(error: BaseException) -> int:
    """Show an exception by the script's hook, or else by the interpreter's own; return the exit code."""
    if issubclass(type(error), SystemExit):
        return _exit_code(error)
    trace = frames.cut(error)
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, trace
    if sys.version_info >= (3, 12):
        sys.last_exc = error
    if not hasattr(sys, "excepthook"):
        _say("sys.excepthook is missing\n")
        sys.excepthook = _excepthook
    hook = tracebacks.show if sys.excepthook is _excepthook else sys.excepthook
    second = bottom.attempt(hook, type(error), error, trace)
    if isinstance(second, SystemExit):
        return _exit_code(second)
    if second is not None:
        _say("Error in sys.excepthook:\n")
        tracebacks.show(type(second), second, frames.cut(second))
        _say("\nOriginal exception was:\n")
        tracebacks.show(type(error), error, trace)
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
    bottom.attempt(lambda: (_say if getattr(sys, "stderr", None) is None else sys.stderr.write)(str(code)))
    _say("\n")
    return 1


def _say(text: str) -> None:
    """Write to `sys.stderr`, or to the descriptor if that fails, as PySys_WriteStderr does."""
    if bottom.attempt(lambda: sys.stderr.write(text)) is not None:
        bottom.attempt(os.write, 2, text.encode("utf-8", "backslashreplace"))


def _say_ignored(error: BaseException | None, doing: str, where: object) -> None:
    """Report an error, if there is one, that can't be raised, as PyErr_WriteUnraisable does."""
    if error is not None:
        words = f"in: {where!r}"
        if sys.version_info >= (3, 13):
            words = f"while {doing}:" if sys.version_info >= (3, 14) else f"on {doing}:"
        _say(f"Exception ignored {words}\n")
        _excepthook(type(error), error, frames.cut(error))


def _report(about: Any) -> None:
    """Be `sys.unraisablehook`, with our frames left out."""
    trace = frames.cut(about.exc_value)
    sys.__unraisablehook__(type(about)((about.exc_type, about.exc_value, trace, about.err_msg, about.object)))


def _release() -> None:
    if gc.isenabled():
        gc.collect()  # first what is garbage already; this also has a say in the order of the rest
    sys.modules["io"] = None  # type: ignore[assignment]  # as there: errors of finalisers are shown without source
    vars(sys).update(last_type=None, last_value=None, last_traceback=None, last_exc=None)
    vars(sys).update({name: vars(sys).get(f"__{name}__") for name in ("stdin", "stdout", "stderr")})
    # The mark is how the script's names are found again below without being held here meanwhile.
    main, mark = bottom.take_main(), {None}
    mark_alive = weakref.ref(mark)
    if type(main) is types.ModuleType:
        main.__dict__["__mark__"] = mark
    del main, mark
    gc.collect()
    if len(sys._current_frames()) > 1:
        return  # daemon threads still use the script's names
    # What plain Python would free with the rest may hold on to the script's names: a cache, a hook, a module.
    holders = gc.get_referrers(*filter(None, [mark_alive()]))
    for names in [each for each in holders if type(each) is dict and "__mark__" in each]:
        for kept in ((types.FunctionType, types.ModuleType, type), types.ModuleType):  # last what finalisers call
            for name in [name for name in names if not issubclass(type(names[name]), kept)]:
                names[name] = None
    gc.collect()
    for each in [each for each in gc.get_objects() if issubclass(type(each), _WRITERS)]:
        bottom.attempt(each.flush)
