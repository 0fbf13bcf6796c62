"""What an innocent run gets of the processors beside runs with many threads: `python -m benchmarks.share [ROUNDS]`.

In a cgroup, as in every container, processors are shared by threads, not by runs. The innocent run counts the processor
time that it gets in some seconds, beside four runs with one spinning thread each and beside four with sixteen, in turn.
As root, with the cgroup controller cpu.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from typing import Iterator

from benchmarks import report, targets
from benchmarks.measure import quantile
from pyexec.client import Client

_GROUP = "/sys/fs/cgroup/cpu/pyexec-share-%d"
_OTHERS, _THREADS = 4, (1, 16)
_BEGIN_S, _LOOK_S, _SPIN_S = 1.5, 4, 7
# Of hashlib, which computes without the interpreter's lock: sixteen threads then ask for sixteen processors.
_SPIN = f"""
import hashlib, threading, time
end = time.monotonic() + {_SPIN_S}
def spin():
    while time.monotonic() < end:
        hashlib.pbkdf2_hmac("sha256", b"x", b"y", 20000)
threads = [threading.Thread(target=spin) for _ in range(%d)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""
_INNOCENT = f"""
import time
began, end = time.process_time(), time.monotonic() + {_LOOK_S}
while time.monotonic() < end:
    pass
print(time.process_time() - began)
"""


@contextlib.contextmanager
def _serving() -> Iterator[Client]:
    """A server in a cgroup of its own, with all that it forks."""
    group = _GROUP % os.getpid()
    os.mkdir(group)
    try:
        with open(group + "/cgroup.procs", "w", encoding="ascii") as file:
            file.write(str(os.getpid()))
        target = targets.start_pyexec(max_runs=_OTHERS + 1)
        with open(os.path.dirname(group) + "/cgroup.procs", "w", encoding="ascii") as file:
            file.write(str(os.getpid()))
        try:
            yield Client(f"http://127.0.0.1:{target.port}")
        finally:
            target.stop()
    finally:
        time.sleep(1)  # what has ended leaves its group a moment later
        os.rmdir(group)


def _share_s(client: Client, count: int) -> float:
    """Return the processor time of the innocent run beside the others, with `count` threads each."""
    failed = []

    def spin() -> None:
        result = client.execute(_SPIN % count)
        if not result.success:
            failed.append(result)

    others = [threading.Thread(target=spin) for _ in range(_OTHERS)]
    for each in others:
        each.start()
    time.sleep(_BEGIN_S)
    result = client.execute(_INNOCENT)
    for each in others:
        each.join()
    assert result.success and not failed, (result, failed)
    return float(result.stdout)


def main(rounds: int) -> None:
    """Print the table."""
    shares: dict[int, list[float]] = {count: [] for count in _THREADS}
    with _serving() as client:
        for _ in range(rounds):
            for count in _THREADS:
                shares[count].append(_share_s(client, count))
    few = quantile(shares[_THREADS[0]], 0.5)
    rows = [(f"{_OTHERS} × {count}", *(f"{quantile(shares[count], q):.2f}" for q in (0.5, 0, 1))) for count in _THREADS]
    shown = [(*row, f"{quantile(shares[count], 0.5) / few:.2f}") for row, count in zip(rows, _THREADS)]
    head = ("spinning threads beside it", f"processor time in {_LOOK_S} s, median", "least", "most", "of the first")
    print(report.table(head, shown))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
