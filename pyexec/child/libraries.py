"""What libraries that were loaded ahead leave to do in the runs that use them: their exit handlers.

A library that registers a function with `atexit` when it is imported means the process that imports it. Here that is a
zygote, whose children run scripts that may never use the library: only a script whose text names it is to wait for its
handler at the end. `logging`, which nearly every library loads, has a handler that touches many pages: it is called
only where there is something to close.
"""

from __future__ import annotations

import atexit
import sys
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


_quiet_handlers = 0  # those of `logging` that were there before the script


def quieten_logging() -> None:
    """Take back, in a zygote, the exit handler of `logging`; `close_logging` does its work."""
    global _quiet_handlers
    logging: Any = sys.modules.get("logging")
    if logging:
        atexit.unregister(logging.shutdown)
        _quiet_handlers = len(logging._handlerList)


def close_logging() -> None:
    """Shut logging down, as at the end of any process, if the script has made handlers."""
    logging: Any = sys.modules.get("logging")
    if logging and len(logging._handlerList) > _quiet_handlers:
        atexit.register(logging.shutdown)  # so that what it raises is shown as ever
        atexit._run_exitfuncs()
