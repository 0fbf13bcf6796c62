"""What a script can see of the call stack: its own frames, and none of this package's.

Under `python script.py` the script's frame is the lowest one. Here a few of ours are below it, and would show in three
ways: the recursion limit would be reached sooner, tracebacks would have lines above the script's, and `traceback` and
`warnings` would walk down into our files. Each function below covers one of them up. Nothing here is for safety: a
script that looks for our frames, with `sys._getframe`, finds them.

Runs in the zygote (`conceal`, once for all children) and in the child.
"""

from __future__ import annotations

import builtins
import functools
import itertools
import os
import sys
import traceback
import types
import warnings
from typing import Any, Callable, Iterator

_OURS = os.path.dirname(os.path.dirname(__file__)) + "/"  # this package


def discount() -> None:
    """Have the recursion limit count from the frame that the caller is about to run, as if that were the lowest.

    `sys.getrecursionlimit` and `sys.setrecursionlimit` go on speaking of the script's own depth.
    """
    # This function's frame stands for that of `bottom.execute`, and one more for the script's. From Python 3.12 on the
    # call of exec counts as well.
    depth = 0 if sys.version_info >= (3, 12) else 1
    frame: types.FrameType | None = sys._getframe()
    while frame is not None:
        depth, frame = depth + 1, frame.f_back
    get, put = sys.getrecursionlimit, sys.setrecursionlimit
    put(get() + depth)
    sys.getrecursionlimit = lambda: get() - depth
    sys.setrecursionlimit = lambda n, /: put(n + depth if isinstance(n, int) and n > 0 else n)


def related(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception, its causes, contexts and members, each once."""
    seen: set[int] = set()  # contexts can be circular
    waiting: list[BaseException | None] = [error]
    while waiting:
        current = waiting.pop()
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        waiting += [current.__cause__, current.__context__]
        if isinstance(current, getattr(builtins, "BaseExceptionGroup", ())):
            waiting += current.exceptions  # type: ignore[attr-defined]


def cut(error: BaseException) -> types.TracebackType | None:
    """Take this package's frames out of an exception and all that is related to it; return its traceback."""
    for current in related(error):
        kept, entry = [], current.__traceback__
        while entry is not None:
            if not entry.tb_frame.f_code.co_filename.startswith(_OURS):
                kept.append(entry)
            entry = entry.tb_next
        for this, following in zip(kept, kept[1:] + [None]):
            this.tb_next = following
        current.__traceback__ = kept[0] if kept else None
    return error.__traceback__


def conceal(bottom: Callable[..., Any]) -> None:
    """Make `traceback` and `warnings` pass over this package's frames, and stop at that of the function `bottom`."""
    lowest = bottom.__code__

    def without_ours(walk: Callable[[Any], Iterator[Any]], down: bool) -> Callable[[Any], Iterator[Any]]:
        @functools.wraps(walk)
        def walk_others(start: Any) -> Iterator[Any]:
            if down and start is None and sys.version_info >= (3, 14):
                start = sys._getframe(1)
            return others(start)

        def others(start: Any) -> Iterator[Any]:
            # Given None, walk_stack starts at its caller's caller when it is asked for the first frame, and this
            # function is one caller more. From Python 3.14 on, it starts at its caller.
            for entry in itertools.islice(walk(start), down and start is None, None):
                code = entry[0].f_code
                if down and code is lowest:
                    return
                if not code.co_filename.startswith(_OURS):
                    yield entry

        return walk_others

    def show_others(self: Any, *about: Any, **named: Any) -> None:
        show(self, *about, **named)
        if str(self.filename).startswith(_OURS):  # its stacklevel reaches beyond the script's own frame
            self.filename, self.lineno = ("<sys>", 0) if sys.version_info >= (3, 13) else ("sys", 1)

    for name in {"walk_stack", "walk_tb", "_walk_tb_with_full_positions"} & traceback.__dict__.keys():
        setattr(traceback, name, without_ours(getattr(traceback, name), name == "walk_stack"))
    show = warnings.WarningMessage.__init__
    warnings.WarningMessage.__init__ = functools.wraps(show)(show_others)  # type: ignore[method-assign]
