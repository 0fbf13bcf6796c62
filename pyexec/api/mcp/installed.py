"""The libraries that scripts may import, with their versions, whether or not they are loaded ahead yet.

The server imports none of them: the version of one that no zygote has loaded is that of its distribution.
"""

from __future__ import annotations

import functools
from typing import Mapping

from pyexec.job import DISTRIBUTIONS, HostReport

UNKNOWN = "?"


def libraries(report: HostReport) -> Mapping[str, str]:
    """Return name → version, `UNKNOWN` where it isn't known: what is loaded ahead, and then what else was added."""
    found = dict(report.libraries)
    for name in report.added:
        top = name.partition(".")[0]
        if top not in found:
            found[top] = _version(top)
    return found


@functools.lru_cache(maxsize=None)
def _version(name: str) -> str:
    import importlib.metadata  # only where something was added: it loads much by itself

    try:
        return importlib.metadata.version(DISTRIBUTIONS.get(name, name))
    except importlib.metadata.PackageNotFoundError:
        return UNKNOWN
