"""What the tests counted, for the table at the end of `sh setup.sh prove`.

With FIGURES set to a directory, each test session writes one file there: the kind of host, the Python, how many tests
passed by file, and the counts that tests recorded. Nothing in the table is typed by hand: what did not run is missing.
"""

from __future__ import annotations

import collections
import json
import os
import platform
from typing import Any, Counter, Dict, List, Tuple

_counts: Counter[str] = collections.Counter()
_passed: Counter[str] = collections.Counter()
_failed: Counter[str] = collections.Counter()
_not_shown: List[Tuple[str, str, str]] = []


def record(name: str, count: int = 1) -> None:
    """Add to one of this session's counts."""
    _counts[name] += count


def not_shown(attack: str, claim: str, why: str) -> None:
    """Note a claim that this host can't show, which is neither a failure nor a success."""
    _not_shown.append((attack, claim, why))
    record("claims not shown here")


def all_not_shown() -> List[str]:
    """Return what was noted, a line each."""
    return ["%s, %s: %s" % noted for noted in _not_shown]


def host_kind() -> str:
    """Return which kind of host the tests run on."""
    return os.environ.get("HOST_KIND") or ("root" if os.geteuid() == 0 else "ordinary user")


def note(report: Any) -> None:
    """Count a finished test."""
    file = os.path.basename(report.nodeid.partition("::")[0])
    if report.failed:
        _failed[file] += 1
    elif report.when == "call" and report.passed:
        _passed[file] += 1


def write() -> None:
    """Write this session's file, if FIGURES says where."""
    directory = os.environ.get("FIGURES")
    if not directory:
        return
    document: Dict[str, Any] = {
        "host": host_kind(),
        "python": platform.python_version(),
        "passed": _passed,
        "failed": _failed,
        "counts": _counts,
        "not shown": all_not_shown(),
    }
    path = os.path.join(directory, "%s-%s-%d.json" % (host_kind().replace(" ", "-"), document["python"], os.getpid()))
    with open(path, "x", encoding="utf-8") as file:
        json.dump(document, file, indent=1, sort_keys=True)
