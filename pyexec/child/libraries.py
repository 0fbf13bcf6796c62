"""What libraries that were loaded ahead leave to do in the runs that use them: their exit handlers.

A library that registers a function with `atexit` when it is imported means the process that imports it. Here that is a
zygote, whose children run scripts that may never use the library: only a script whose text names it is to wait for its
handler at the end.
"""

from __future__ import annotations

import atexit
from typing import Any, Callable, Iterable, NamedTuple


class ExitHandler(NamedTuple):
    """What a library registered with `atexit` while it was imported; for runs whose text names the library."""

    library: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]


def register_exit_handlers(handlers: Iterable[ExitHandler], code: str) -> None:
    """Register, in a run, the exit handlers of the libraries that its script names."""
    for handler in handlers:
        if handler.library in code:
            atexit.register(handler.function, *handler.arguments, **handler.keywords)
