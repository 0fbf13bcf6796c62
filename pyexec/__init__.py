"""pyexec runs untrusted Python, each script alone in a confined throw-away process.

The names below are loaded when first used, so that the confined side never loads the server's modules.
"""

from __future__ import annotations

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
        raise AttributeError("module 'pyexec' has no attribute %r" % name)
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
