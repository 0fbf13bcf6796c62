"""A running pyexec under strace: what it and its children ask of the kernel, by kind of process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import time
from collections import Counter
from typing import Dict, List, Set

from processes import command, descendants, settled

_CALL = re.compile(rb"^(\w+)\(")
_RETURNED = re.compile(rb"\) += (-?\d+|\?)[^=]*$")
# Hand-overs of Python's lock between threads, and calls that the attaching itself interrupts: as many as chance has it.
_CHANCE = {b"futex", b"restart_syscall", b"sched_yield"}
_MOVES_BYTES = set(
    b"read write readv writev pread64 pwrite64 preadv pwritev recvfrom sendto recvmsg sendmsg sendfile splice"
    b" copy_file_range tee vmsplice".split()
)


class Trace:
    """strace on a server and everything below it, from now to `stop`."""

    def __init__(self, server: int) -> None:
        """Attach, once no child comes or goes any more."""
        self._server = server
        below = settled(lambda: descendants(server))
        self._zygotes = {pid for pid in below if "zygote" in command(pid) and _has_children(pid, below)}
        self._directory = tempfile.TemporaryDirectory()
        self._prefix = os.path.join(self._directory.name, "t")
        attach = [flag for pid in [server] + below for flag in ("-p", str(pid))]
        self._strace = subprocess.Popen(
            ["strace", "-f", "-ff", "-s", "0", "-o", self._prefix] + attach, stderr=subprocess.DEVNULL
        )
        self._await_attached([server] + below)

    def _await_attached(self, pids: List[int]) -> None:
        tasks = [int(task) for pid in pids for task in os.listdir("/proc/%d/task" % pid)]
        deadline = time.monotonic() + 30
        while any(_tracer(task) != self._strace.pid for task in tasks):
            assert self._strace.poll() is None and time.monotonic() < deadline, "strace did not attach"
            time.sleep(0.01)

    def stop(self) -> Dict[str, Counter[bytes]]:
        """Detach, and return the calls of each kind of process; `copied`, `threads` and `forks` stand among them."""
        settled(lambda: descendants(self._server))
        self._strace.send_signal(signal.SIGINT)
        self._strace.wait(30)
        traced = {}
        for name in os.listdir(self._directory.name):
            with open(os.path.join(self._directory.name, name), "rb") as file:
                traced[int(name.rpartition(".")[2])] = file.read().splitlines()
        self._directory.cleanup()
        kinds: Dict[str, Counter[bytes]] = {"server": Counter(), "zygote": Counter(), "child": Counter()}
        threads = self._threads(traced)
        for task, lines in traced.items():
            kind = "server" if task in threads else "zygote" if task in self._zygotes else "child"
            for line in lines:
                _count(line, kinds[kind])
        return kinds

    def _threads(self, traced: Dict[int, List[bytes]]) -> Set[int]:
        """Return every thread of the server: those of now, and those that one of them started meanwhile."""
        found = {int(task) for task in os.listdir("/proc/%d/task" % self._server)} & set(traced) | {self._server}
        for lines in traced.values():
            for line in lines:
                if b"CLONE_THREAD" in line:
                    found.add(int(_result(line)))
        return found


def _has_children(pid: int, below: List[int]) -> bool:
    return any(other in descendants(pid) for other in below)


def _tracer(task: int) -> int:
    """Return who traces a thread; -1 if it has ended."""
    try:
        with open("/proc/%d/status" % task, encoding="ascii", errors="replace") as file:
            return int(re.findall(r"^TracerPid:\s*(\d+)", file.read(), re.MULTILINE)[0])
    except (FileNotFoundError, ProcessLookupError):
        return -1


def _result(line: bytes) -> bytes:
    found = _RETURNED.search(line)
    return found.group(1) if found else b"?"


def _count(line: bytes, into: Counter[bytes]) -> None:
    found = _CALL.match(line)
    if not found or found.group(1) in _CHANCE:
        return
    name = found.group(1)
    into[name] += 1
    result = _result(line)
    if name in _MOVES_BYTES and result.isdigit():
        into[b"copied"] += int(result)
    if name in (b"clone", b"clone3", b"fork", b"vfork") and result.isdigit():
        into[b"threads" if b"CLONE_THREAD" in line else b"forks"] += 1


def calls(counted: Counter[bytes]) -> int:
    """Return how many calls there were."""
    return sum(count for name, count in counted.items() if name not in (b"copied", b"threads", b"forks"))
