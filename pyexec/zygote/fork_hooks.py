"""The standard library's fork hooks, kept out of the forks that a zygote makes.

`threading` and `logging` have Python run after each fork, to free locks that other threads may have held and to forget
those threads. A zygote has one thread, so they have nothing to do; but they are cold code, and touched 120 shared pages
in each child. So they are taken out of the interpreter's lists, and a process that a script forks puts them back first.
Hooks of others stay: `random` reseeds itself by one, and so may a library.
"""

from __future__ import annotations

import functools
import gc
import os
import sys
from typing import Any, Callable, NamedTuple

_MODULES = ("threading", "logging")


class _Lists(NamedTuple):
    """The interpreter's lists of hooks, which have no name in Python."""

    before: list[Any]
    in_parent: list[Any]
    in_child: list[Any]


def withhold() -> Callable[[], Any]:
    """Take the hooks out, in a zygote; return what its children call to have them at their own forks."""
    lists = _find_lists()
    if lists is None:
        return lambda: None
    kept = [(hooks, list(hooks)) for hooks in lists]
    lock = getattr(sys.modules.get("logging"), "_lock", None)

    def is_needless(hook: Any) -> bool:
        # Since Python 3.13 logging registers methods of its lock instead of functions.
        owner = getattr(hook, "__self__", None)
        return getattr(hook, "__module__", "") in _MODULES or (lock is not None and owner is lock)

    missed = [hook for hook in lists.before if is_needless(hook)]
    for hooks, whole in kept:
        hooks[:] = [hook for hook in whole if not is_needless(hook)]

    def put_back() -> None:
        """Be the hook of a child that forks for the first time, before the others."""
        for hooks, whole in kept:
            added = [hook for hook in hooks if hook not in whole and hook is not put_back]
            hooks[:] = whole + added
        for hook in reversed(missed):
            hook()

    # One hook instead of all: each that a child puts back is another page.
    return functools.partial(lists.before.append, put_back)


def _find_lists() -> _Lists | None:
    """Return the lists, found by what this puts into them; None if that doesn't work."""
    markers = [lambda: None for _ in _Lists._fields]
    os.register_at_fork(before=markers[0], after_in_parent=markers[1], after_in_child=markers[2])
    gc.unfreeze()  # what is frozen isn't searched
    found = []
    for marker in markers:
        holders = [each for each in gc.get_referrers(marker) if type(each) is list and each is not markers]
        found += holders
        for each in holders:
            each.remove(marker)
    gc.freeze()
    return _Lists(*found) if len(found) == len(_Lists._fields) else None
