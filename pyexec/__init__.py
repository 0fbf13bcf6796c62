"""pyexec runs untrusted Python, each script alone in a confined throw-away process.

The names below are loaded when first used, so that the confined side never loads the server's modules.
"""

# No __future__ here: `python -m pyexec` tells Pythons too old for annotations from it that they are too old.
import sys
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from pyexec.config import Config as Config
    from pyexec.errors import ValidationError as ValidationError
    from pyexec.job import Attachment as Attachment
    from pyexec.job import Budget as Budget
    from pyexec.job import Job as Job
    from pyexec.job import Outcome as Outcome
    from pyexec.sandbox import Sandbox as Sandbox

_HOMES = {
    "Sandbox": "pyexec.sandbox",
    "Config": "pyexec.config",
    "Job": "pyexec.job",
    "Attachment": "pyexec.job",
    "Budget": "pyexec.job",
    "Outcome": "pyexec.job",
    "ValidationError": "pyexec.errors",
}

__all__ = ["Attachment", "Budget", "Config", "Job", "Outcome", "Sandbox", "ValidationError"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'pyexec' has no attribute {name!r}")
    if name == "Sandbox" and sys.platform != "linux":
        from pyexec import off_linux

        raise ImportError(off_linux.explanation())
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
