"""Load the libraries that the operator added, one after another, each under a limit, and see what each has done.

Loading is optimistic: every library is imported once, in the zygote that will fork its runs. What can't be in a process
that forks (a thread, a fork hook that hangs) or can't be imported safely (it crashes, hangs, takes a gigabyte) is an
offence: this process says which name it was and ends, and the next zygote leaves that name out. A crash or a hang can't
say so; the server knows the name that was announced last.

Nothing that one library does while it is imported may be felt by scripts that don't use it: exit handlers are kept for
those that do, and `as_before` puts back what belongs to the process.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import os
import resource
import select
import signal
import time
from typing import Any, Callable, Iterable, Iterator, NamedTuple

from pyexec.child.libraries import ExitHandler
from pyexec.kernel import libc

IMPORT_S = 60.0
_MEMORY_BYTES = 1 << 30  # of address space, for one import
_FORK_S = 5.0
_FORKS = 3  # a hook may let the first pass
_THREADS_END_S = 1.0


class Offence(Exception):
    """A name can't be loaded in a process that forks runs."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name, self.reason = name, reason


class Loaded(NamedTuple):
    """What has been loaded, and what scripts have to import themselves."""

    names: tuple[str, ...]
    failed: dict[str, str]  # name → why its import failed, which a script will see itself
    handlers: tuple[ExitHandler, ...]


def load(names: Iterable[str], announce: Callable[[str], None], proc_fd: int) -> Loaded:
    """Import modules in this order.

    Args:
        names: dotted or not; what is below a name that failed is left out. announce: called with each name before its
            import, which may never return. proc_fd: of /proc.

    Raises:
        Offence: this process must not fork a run.
    """
    loaded: list[str] = []
    failed: dict[str, str] = {}
    handlers: list[ExitHandler] = []
    for name in names:
        if any(name.startswith(other + ".") for other in failed):
            continue
        announce(name)
        with _bounded():
            reason = _import_alone(name, handlers)
            _check(name, proc_fd)
        if reason:
            failed[name] = reason
        else:
            loaded.append(name)
    return Loaded(tuple(loaded), failed, tuple(handlers))


def _import_alone(name: str, handlers: list[ExitHandler]) -> str:
    """Import a module and put back what it changes besides; return why it can't be, if so. Raises Offence."""
    from pyexec.zygote import as_before  # not in every zygote: it loads more than is needed there

    library = name.partition(".")[0]
    try:
        with as_before.put_back(library), _recorded(library, handlers):
            return _import(name, as_before.with_builtins)
    except (OSError, ValueError) as error:
        raise Offence(name, f"changes something that can't be put back: {error}"[:200]) from None


def _import(name: str, carefully: Callable[..., None]) -> str:
    """Import a module; return why it can't be, if so. Raises Offence."""
    try:
        carefully(importlib.import_module, name)
    except ImportError as error:
        return f"{type(error).__name__}: {error}"[:200]
    except MemoryError:
        raise Offence(name, f"needs more than {_MEMORY_BYTES >> 30} GiB of memory") from None
    except BaseException as error:  # noqa: BLE001
        # SystemExit and KeyboardInterrupt too. What was half imported stays behind, so this process isn't used.
        raise Offence(name, f"its import raises {type(error).__name__}: {error}"[:200]) from None
    return ""


@contextlib.contextmanager
def _bounded() -> Iterator[None]:
    """Bound what an import takes: SIGALRM kills this process, since no handler runs while C code hangs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as file:
        size = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + _MEMORY_BYTES, hard))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, IMPORT_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@contextlib.contextmanager
def _recorded(library: str, handlers: list[ExitHandler]) -> Iterator[None]:
    """Keep what is registered with `atexit` meanwhile, instead of registering it."""
    original, over = atexit.register, False

    def register(function: Any, *arguments: Any, **keywords: Any) -> Any:
        if over:  # called by a library that imported this function
            return original(function, *arguments, **keywords)
        handlers.append(ExitHandler(library, function, arguments, keywords))
        return function

    atexit.register = register  # type: ignore[assignment]
    try:
        yield
    finally:
        over = True
        atexit.register = original


def _check(name: str, proc_fd: int) -> None:
    """Check that this process can fork runs still. Raises Offence."""
    due = time.monotonic() + _THREADS_END_S
    while (count := _threads(proc_fd)) > 1:
        if time.monotonic() > due:
            raise Offence(name, f"starts threads ({count - 1}), and a process with threads can't be forked safely")
        time.sleep(0.005)
    for _ in range(_FORKS):
        _fork(name)


def _fork(name: str) -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)  # what counts is that the hooks let the fork return
    pidfd = libc.syscall("pidfd_open", pid, 0)
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        if not poll.poll(int(_FORK_S * 1000)):
            os.kill(pid, signal.SIGKILL)
        if os.waitpid(pid, 0)[1]:
            raise Offence(name, "a process forked after its import doesn't run")
    finally:
        os.close(pidfd)


def _threads(proc_fd: int) -> int:
    fd = os.open("self/task", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=proc_fd)
    try:
        return len(os.listdir(fd))
    finally:
        os.close(fd)
