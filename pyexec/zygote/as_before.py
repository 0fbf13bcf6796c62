"""Put back, after the import of a library, what belongs to the process rather than to that library.

A script that doesn't use the library must not find it changed, nor must the import of the next one. What can't be put
back makes the library one that isn't loaded ahead. A library's own filters of warnings stay, if they name a message or
a module and raise nothing; so do names that it adds to the builtins, since its code may need them.
"""

from __future__ import annotations

import builtins
import contextlib
import decimal
import gc
import itertools
import locale
import logging
import os
import resource
import signal
import sys
import threading
import time
import warnings
from typing import Any, Callable, Iterator

_OF_SYS = ("stdin", "stdout", "stderr", "excepthook", "displayhook", "unraisablehook", "breakpointhook")
_SEARCHED = ("path", "meta_path", "path_hooks")
_OF_THREADING = ("excepthook",)
_OF_WARNINGS = ("showwarning", "formatwarning")
_OF_LOGGING = ("raiseExceptions", "lastResort", "_loggerClass", "_logRecordFactory", "_srcfile")
_SET_BY_CALL = ("recursionlimit", "switchinterval", "dlopenflags", "_int_max_str_digits")
# The caller bounds the address space, and puts that back.
_LIMITS = [getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_") and name != "RLIMIT_AS"]


@contextlib.contextmanager
def put_back(library: str) -> Iterator[None]:
    """Put everything back afterwards. Raises OSError, ValueError: something can't be.

    Args:
        library: the package that is imported meanwhile, whose own modules are its own affair.
    """
    with contextlib.ExitStack() as stack:
        for each in (_process, _signals, _modules, _warnings, _logging, _tracing, _audits):
            stack.enter_context(each())
        stack.enter_context(_imports(library))  # put back first: the others may import something
        yield


@contextlib.contextmanager
def _process() -> Iterator[None]:
    environment, directory, umask = dict(os.environ), os.getcwd(), _umask()
    nice, limits = os.getpriority(os.PRIO_PROCESS, 0), {each: resource.getrlimit(each) for each in _LIMITS}
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(environment)
        time.tzset()
        os.chdir(directory)
        os.umask(umask)
        for each, limit in limits.items():
            if resource.getrlimit(each) != limit:
                resource.setrlimit(each, limit)
        if os.getpriority(os.PRIO_PROCESS, 0) != nice:
            os.setpriority(os.PRIO_PROCESS, 0, nice)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    catchable = [number for number in signal.valid_signals() if number not in (signal.SIGKILL, signal.SIGSTOP)]
    handlers = {number: signal.getsignal(number) for number in catchable}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        yield
    finally:
        for number, handler in handlers.items():
            if handler is not None:  # installed by C code before us, and not Python's to set
                signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@contextlib.contextmanager
def _modules() -> Iterator[None]:
    """Put back hooks and settings that modules of the standard library keep."""
    kept = [(module, name, getattr(module, name)) for module, names in _settings() for name in names]
    calls = [name for name in _SET_BY_CALL if hasattr(sys, "set" + name)]  # the digits: not in every 3.8 to 3.10
    values = {name: getattr(sys, "get" + name)() for name in calls}
    words, threshold, traps = locale.setlocale(locale.LC_ALL), gc.get_threshold(), decimal.getcontext().copy()
    common = decimal.DefaultContext.copy()
    try:
        yield
    finally:
        for module, name, value in kept:
            setattr(module, name, value)
        for name, number in values.items():
            getattr(sys, "set" + name)(number)
        locale.setlocale(locale.LC_ALL, words)
        gc.set_threshold(*threshold)
        decimal.setcontext(traps)
        for name in ("prec", "rounding", "Emin", "Emax", "capitals", "clamp", "traps"):
            setattr(decimal.DefaultContext, name, getattr(common, name))


def _settings() -> list[tuple[Any, tuple[str, ...]]]:
    logging_names = tuple(name for name in _OF_LOGGING if hasattr(logging, name))
    found: list[tuple[Any, tuple[str, ...]]] = [(sys, _OF_SYS), (threading, _OF_THREADING), (warnings, _OF_WARNINGS)]
    return [*found, (logging, logging_names)]


@contextlib.contextmanager
def _imports(library: str) -> Iterator[None]:
    """Put back what was taken out of the lists that every import goes through, and keep what was added.

    The library's own code may be found by what it adds, as the parts of `six` are. A module that another one stands for
    is put back too: who has imported it goes on with the old one's classes.
    """
    lists = [(name, getattr(sys, name), list(getattr(sys, name))) for name in _SEARCHED]
    modules, loaded = sys.modules, dict(sys.modules)
    cache, finders = sys.path_importer_cache, dict(sys.path_importer_cache)
    try:
        yield
    finally:
        sys.modules, sys.path_importer_cache = modules, cache
        for name, module in loaded.items():
            if modules.get(name, modules) is not module and name.partition(".")[0] != library:
                modules[name] = module
        for name, searched, old in lists:
            _put_into(searched, old, getattr(sys, name, searched))
            setattr(sys, name, searched)
        # That no hook knew a directory is remembered, and may be because the hook for directories was gone.
        for path in [each for each, finder in cache.items() if finder is None and finders.get(each, each) is not None]:
            del cache[path]


def _put_into(searched: list[Any], old: list[Any], now: Any) -> None:
    """Make a list that which was there before, in its order, and what has been added in front and behind."""
    found = list(now) if isinstance(now, list) else []
    ahead = list(itertools.takewhile(lambda each: each not in old, found))
    behind = [each for each in found[len(ahead) :] if each not in old]
    if [each for each in found if each in old] == old:
        searched[:] = found
    else:
        searched[:] = ahead + old + behind


@contextlib.contextmanager
def _warnings() -> Iterator[None]:
    filters: Any = warnings.filters  # the very list, which C code holds too
    before = list(filters)
    try:
        yield
    finally:
        added = [each for each in warnings.filters if each not in before]
        warnings.filters = filters
        warnings.resetwarnings()  # so that what was decided by the old ones is forgotten
        filters[:] = [each for each in added if each[0] != "error" and (each[1] or each[3])] + before


@contextlib.contextmanager
def _logging() -> Iterator[None]:
    root = logging.getLogger()
    level, handlers, filters, disabled = root.level, list(root.handlers), list(root.filters), root.disabled
    lowest, kind, factory = root.manager.disable, root.manager.loggerClass, root.manager.logRecordFactory
    try:
        yield
    finally:
        root.handlers[:], root.filters[:] = handlers, filters
        root.disabled, root.manager.disable = disabled, lowest
        root.manager.loggerClass, root.manager.logRecordFactory = kind, factory
        root.setLevel(level)  # which also forgets what loggers have found out by the old one


@contextlib.contextmanager
def _audits() -> Iterator[None]:
    """Install no audit hook: it would stay for good."""
    original: Any = sys.addaudithook
    asked: list[Any] = []
    setattr(sys, "addaudithook", asked.append)  # noqa: B010
    try:
        yield
    finally:
        sys.addaudithook = original
    if asked:
        raise ValueError("an audit hook")


@contextlib.contextmanager
def _tracing() -> Iterator[None]:
    trace, profile = sys.gettrace(), sys.getprofile()
    try:
        yield
    finally:
        sys.settrace(trace)
        sys.setprofile(profile)
        threading.settrace(None)
        threading.setprofile(None)


def with_builtins(function: Callable[..., Any], *arguments: Any) -> None:
    """Call a function and put back what it has changed of the builtins, by code that needs none of them."""
    names = vars(builtins)
    before, update = dict(names), names.update
    try:
        function(*arguments)
    finally:
        update(before)
