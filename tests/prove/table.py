"""The table at the end of the proofs, from what the test sessions left: `python table.py DIRECTORY`. Pure reading.

Fails if a kind of host, or a figure that it should have, is missing, or if any test failed.
"""

from __future__ import annotations

import collections
import json
import os
import sys
from typing import Counter, Dict, List, Tuple

HOSTS = ("root", "ordinary user", "container-root", "container-user")
EVERYWHERE = (
    "tests passed",
    "attacks",
    "of these succeed without a layer",
    "claims not shown here",
    "attack runs behind one layer",
    "attack runs behind an older Landlock",
    "attack runs behind all layers",
    "of these contained",
    "attack runs behind all layers but one",
    "attacks as public scripts, contained",
    "incidents of others with a test",
    "attack runs of admins without tree and uid",
    "memory attacks by runs, each within its bound",
    "memory attacks ended by the watch",
    "faults survived",
)
# What takes longer, or needs root; counted on the bare host only.
ONCE = (
    "runs without a leak",
    "bytes grown in these",
    "connections held idle",
    "slow clients",
    "slow-client attacks",
    "memory attacks on the server",
    "aborted connections",
    "callers gone",
    "right answers under load",
    "refusals under load, each with Retry-After",
    "scripts that use a library, each with the result that it should have",
    "scripts in a batch",
    "runs during renewals, none refused",
    "% of the usual p99 during renewals",
    "requests to a cluster, none lost",
    "% of one node's throughput, 1 behind a balancer",
    "% of one node's throughput, 2 behind a balancer",
    "% of one node's throughput, 3 behind a balancer",
    "% of the throughput left beside 12 slow uploads of 50 KB",
    "% of the throughput left beside 12 slow uploads of 300 KB",
    "seconds for the tests of a cluster",
)
# On a machine other than x86-64 some attacks have no machine code.
LEAST = {"attacks": 100, "incidents of others with a test": 25, "faults survived": 100, "runs without a leak": 5000}

Columns = Dict[str, Counter[str]]


def read(directory: str) -> Tuple[Columns, int]:
    """Return host → figure → count, and how many tests failed."""
    columns: Columns = {}
    failed = 0
    for name in sorted(os.listdir(directory)):
        with open(os.path.join(directory, name), encoding="utf-8") as file:
            session = json.load(file)
        column = columns.setdefault(session["host"], collections.Counter())
        column.update(session["counts"])
        column["tests passed"] += sum(session["passed"].values())
        # Each test of that file makes one fault.
        column["faults survived"] += session["passed"].get("test_faults.py", 0)
        failed += sum(session["failed"].values())
    return columns, failed


def missing(columns: Columns) -> List[str]:
    """Return what the table lacks, in words."""
    found = []
    for host in HOSTS:
        for figure in EVERYWHERE + (ONCE if host == "root" else ()):
            count = columns.get(host, collections.Counter()).get(figure)
            if count is None or count < LEAST.get(figure, 0):
                found.append("%s on %s: %s" % (figure, host, "missing" if count is None else count))
    for host, column in columns.items():
        if column["of these contained"] != column["attack runs behind all layers"]:
            found.append(
                "escapes on %s: %d" % (host, column["attack runs behind all layers"] - column["of these contained"])
            )
    return found


def render(columns: Columns) -> str:
    """Return the table."""
    hosts = [host for host in HOSTS if host in columns] + sorted(set(columns) - set(HOSTS))
    names = EVERYWHERE + ONCE
    wide = max(map(len, names))
    lines = [" " * wide + "".join("%16s" % host for host in hosts)]
    for name in names:
        cells = ["%16s" % (columns[host][name] if name in columns[host] else "") for host in hosts]
        lines.append(name.ljust(wide) + "".join(cells))
    lines.append("kinds of host".ljust(wide) + "%16d" % len(set(hosts) & set(HOSTS)))
    return "\n".join(lines)


def main() -> int:
    """Print the table and what it lacks."""
    columns, failed = read(sys.argv[1])
    print(render(columns))
    lacking = missing(columns) + (["%d tests failed" % failed] if failed else [])
    for line in lacking:
        print("table.py: " + line, file=sys.stderr)
    return 1 if lacking else 0


if __name__ == "__main__":
    sys.exit(main())
