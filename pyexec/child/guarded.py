"""Calling code of the script's own when its run is over: bounded in time and depth, and without a trace in its output.

Values are shown by asking them, and a `__repr__` may print, recurse, or never return. Within `Guard` the standard
streams go nowhere, and `call` interrupts what takes longer than 10 ms. After twice the time of all calls together,
`GivenUp` ends the context wherever it is. The interruption is an exception in the main thread, raised from a signal
handler: code that swallows it is interrupted again and again, and code that stays in C without looking at signals is
not interrupted at all. Either costs the run its time, and nobody else's.
"""

from __future__ import annotations

import _thread
import contextlib
import io
import signal
import sys
import time
import types
from typing import Any, Callable, Iterator

_TICK_S = 0.01
CALL_S, ALL_S = 0.01, 0.05  # of processor time; the wall clock gets five times as much, since machines are busy
_SLACK = 5
_DEPTH = 150
_get_limit, _set_limit = sys.getrecursionlimit, sys.setrecursionlimit  # before `frames.discount` covers them up


class TooLong(BaseException):
    """A call was interrupted, since it took too long."""


class NoTime(TooLong):
    """A call was not made, since all the time is used up."""


class Failed(Exception):
    """A call raised something; the text is the name of its class."""


class GivenUp(BaseException):
    """All the time was used up long ago; raised wherever we are, even outside of a call."""


class _Muted(io.TextIOBase):
    """A stream for all threads but the one that made this, whose text goes nowhere."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._muted = stream, _thread.get_ident()

    def write(self, text: str) -> int:
        return len(text) if _thread.get_ident() == self._muted else self._stream.write(text)

    def flush(self) -> None:
        if _thread.get_ident() != self._muted:
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Guard:
    """A context in which `call` can be used, in the main thread."""

    def __init__(self, all_s: float = ALL_S) -> None:
        """Prepare; entering the context starts the clock."""
        self._all_s, self._one_s = all_s, CALL_S
        self._stack = contextlib.ExitStack()
        self._within = False
        self._all = self._one = (0.0, 0.0)

    def __enter__(self) -> Guard:
        self._stack.enter_context(_quiet())
        self._stack.enter_context(_shallow())
        self._all = self._one = _now()
        self._stack.enter_context(_ticking(self._tick))
        return self

    def __exit__(self, *_: object) -> None:
        self._within = False
        self._stack.close()

    def call(self, function: Callable[..., Any], *arguments: Any, most_s: float = CALL_S) -> Any:
        """Call a function of the script's.

        Raises:
            Failed: it raised something. TooLong: it took too long. NoTime: all calls together did.
        """
        if _over(self._all, self._all_s):
            raise NoTime
        self._one, self._one_s = _now(), most_s
        try:
            self._within = True
            return function(*arguments)
        except (TooLong, GivenUp):
            raise
        except BaseException as error:  # noqa: BLE001 - SystemExit as well
            raise Failed(class_name(type(error))) from None
        finally:
            self._within = False

    def _tick(self, number: int, frame: types.FrameType | None) -> None:
        if self._within and (_over(self._one, self._one_s) or _over(self._all, self._all_s)):
            raise TooLong
        if _over(self._all, 2 * self._all_s):
            raise GivenUp


def class_name(kind: type) -> str:
    """Return the name of a class, whatever its metaclass makes of the attribute."""
    return str(type.__dict__["__name__"].__get__(kind))


def _now() -> tuple[float, float]:
    return time.process_time(), time.monotonic()


def _over(since: tuple[float, float], most_s: float) -> bool:
    used, passed = (now - then for now, then in zip(_now(), since))
    return used >= most_s or passed >= most_s * _SLACK


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    kept = {name: getattr(sys, name, None) for name in ("stdout", "stderr")}
    vars(sys).update((name, _Muted(stream)) for name, stream in kept.items())
    try:
        yield
    finally:
        vars(sys).update(kept)


@contextlib.contextmanager
def _shallow() -> Iterator[None]:
    """Allow little recursion beyond where we are: a script may have raised the limit beyond what the stack bears."""
    depth, limit = 0, _get_limit()
    frame: types.FrameType | None = sys._getframe()
    while frame is not None:
        depth, frame = depth + 1, frame.f_back
    with contextlib.suppress(RecursionError):
        _set_limit(min(limit, depth + _DEPTH))
    try:
        yield
    finally:
        _set_limit(limit)


@contextlib.contextmanager
def _ticking(tick: Callable[[int, types.FrameType | None], None]) -> Iterator[None]:
    before = signal.signal(signal.SIGALRM, tick)
    signal.setitimer(signal.ITIMER_REAL, _TICK_S, _TICK_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before if before is not None else signal.SIG_DFL)
