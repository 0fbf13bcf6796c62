"""A third of a minute of callers and faults at once, on each kind of host; then nothing is lost: no slot, child, descriptor.

As root. The faults come at random moments, from a seed that the log shows: descriptors of the server and of the
zygotes used up, a child killed, a zygote killed, any process stopped for a second.
"""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import tempfile
import threading
import time
from typing import Any, List

import pytest
from figures import record
from processes import Tree, await_that, command, descendants, settled_tree, zygotes
from servers import RunningServer
from support import connect, execute, in_threads
from wrappers import EITHER_HOST

from pyexec.client import ServiceError

FOR_S, CALLERS, SLOTS = 20, 4, 3
FORKS = "import os, time\nfor _ in range(3):\n    if os.fork() == 0:\n        time.sleep(0.3)\n        os._exit(0)\n"
# Zygotes die seldom: they may be started ten times a minute only, and without one there is little to lose.
FAULTS = ["server short"] * 6 + ["zygote short"] * 8 + ["child killed"] * 6 + ["one stopped"] * 6 + ["zygote killed"]


class Soak:
    """Callers and faults of one server, and what was answered."""

    def __init__(self, running: RunningServer, seed: int) -> None:
        self.running, self.seed, self.pid = running, seed, running.process.pid
        self.killed = self.faults = self.served = 0
        self.wrong: List[str] = []
        self.over = threading.Event()
        self.limit = resource.prlimit(self.pid, resource.RLIMIT_NOFILE)

    def end(self) -> None:
        """Set `over` after a while, once enough has happened."""
        started = time.monotonic()
        while time.monotonic() < started + FOR_S or not self.enough and time.monotonic() < started + 90:
            time.sleep(0.1)
        self.over.set()

    @property
    def enough(self) -> bool:
        return self.served > 50 and self.faults > 10 and self.killed > 0

    def call(self, caller: int) -> None:
        """Make requests until all is over."""
        chance, number = random.Random(self.seed + caller), caller
        while not self.over.wait(chance.random() * 0.2):
            number += CALLERS
            try:
                self.one(chance, number)
                self.served += 1
            except ServiceError as error:
                # Faults are ours to tell of: no run here uses too much, so that none may be told that it did.
                if error.type not in ("InternalServerError", "ServerBusy"):
                    self.wrong.append("%s: %s" % (number, error))
            except Exception as error:
                self.wrong.append("%s: %r" % (number, error))

    def one(self, chance: random.Random, number: int) -> None:
        """Make one request of some kind and check its answer."""
        client, kind, text = self.running.client, chance.randrange(7), "%d\n" % number
        if kind == 0:
            code = "open('a', 'w').write('%d')\nopen('b', 'wb').write(bytes(3 << 20))" % number
            files = client.execute(code, return_files=["a", "b"]).files
            assert files == {"a": b"%d" % number, "b": bytes(3 << 20)}
        elif kind == 1:
            stdin = "x" * (4 << 20) + str(number)
            assert client.execute("print(len(input()))", stdin=stdin).stdout == "%d\n" % len(stdin)
        elif kind == 2:
            result = self.running.admin.execute(FORKS + "print(%d)" % number)
            # Its own process killed is an end like any other: a script may kill itself, and the supervisor says so.
            assert result.stdout == text or result.exit_code == -9, result
        elif kind == 3:
            with connect(self.running.port) as sock:  # and is not there any more for the answer
                sock.sendall(execute({"code": "import time\ntime.sleep(%g)" % chance.random()}))
                time.sleep(chance.random() * 0.3)
        else:
            first = ["", "import time\ntime.sleep(0.5)\n", "import numpy\n"][kind - 4]
            assert client.execute(first + "print(%d)" % number).stdout == text

    def harm(self) -> None:
        """Make faults until all is over; each is taken back at once."""
        chance = random.Random(self.seed)
        while not self.over.wait(chance.random() * 0.4):
            with contextlib.suppress(ProcessLookupError, FileNotFoundError):  # it has ended between two looks
                self._one_fault(chance, chance.choice(FAULTS))
                self.faults += 1

    def _one_fault(self, chance: random.Random, what: str) -> None:
        below = descendants(self.pid)
        kept = zygotes(self.pid)
        children = sorted({pid for zygote in kept for pid in descendants(zygote)})
        if what.endswith("short"):
            pid = self.pid if what == "server short" else chance.choice(kept or [self.pid])
            held = len(os.listdir("/proc/%d/fd" % pid))
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (max(8, held + chance.randrange(-4, 14)), self.limit[1]))
            time.sleep(chance.random() * 0.3)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, self.limit)
        elif what.endswith("killed"):
            of_these = children if what == "child killed" else kept
            for pid in of_these and [chance.choice(of_these)]:
                self.killed += 1
                os.kill(pid, signal.SIGKILL)
        else:
            pid = chance.choice([self.pid] + below)
            os.kill(pid, signal.SIGSTOP)
            time.sleep(1)
            os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("wrapper", EITHER_HOST.values(), ids=EITHER_HOST)
def test_faults_at_random_moments_leave_nothing(start_server, wrapper) -> None:
    seed = int.from_bytes(os.urandom(4), "little")
    print("seed %d" % seed)
    with tempfile.TemporaryDirectory(prefix="soak-") as work_dir:
        os.chmod(work_dir, 0o755)
        rates = {"rate_per_minute": 10**6, "rate_per_day": 10**6}
        running = start_server(wrapper, work_dir=work_dir, max_runs=SLOTS, **rates)
        _all_slots(running)
        before, directories = settled_tree(running.process.pid), _directories(work_dir)
        soak = Soak(running, seed)
        threading.Thread(target=soak.end).start()
        faults = in_threads(CALLERS + 1, lambda place: soak.harm() if place == CALLERS else soak.call(place))
        assert faults == [None] * (CALLERS + 1)
        assert soak.wrong == []
        assert soak.enough
        await_that(lambda: _serves(running), 90)
        await_that(lambda: running.client.health()["active_runs"] == 0)
        _all_slots(running)
        # Threads that wait for connections end within seconds, descriptors with them.
        deadline = time.monotonic() + 60
        while not _no_more_than(before, settled_tree(soak.pid)):
            if time.monotonic() > deadline:
                print(before, settled_tree(soak.pid), *_descriptors(soak.pid), sep="\n")
            assert time.monotonic() < deadline
        assert _directories(work_dir) == directories
        assert running.stop() == 0 and os.listdir(work_dir) == []
    record("faults survived", soak.faults)


def _serves(running: Any) -> bool:
    """Return whether both kinds of children are there."""
    try:
        return [running.client.execute(code + "print(1)").stdout for code in ("", "import numpy\n")] == ["1\n"] * 2
    except (OSError, ServiceError):
        time.sleep(0.1)
        return False


def _all_slots(running: Any) -> None:
    """Check that as many runs of each kind as there are slots succeed at once, three times over."""
    expected = ["%d\n" % place for place in range(SLOTS)]
    for client, first in 3 * [(running.client, ""), (running.client, "import numpy\n"), (running.admin, "")]:
        code = first + "import time\ntime.sleep(0.2)\nprint(%d)"
        assert in_threads(SLOTS, lambda n, c=client, text=code: c.execute(text % n).stdout) == expected


def _no_more_than(before: Tree, after: Tree) -> bool:
    same = (after.processes, after.mounts) == (before.processes, before.mounts)
    return same and after.threads <= before.threads and after.descriptors <= before.descriptors


def _descriptors(pid: int) -> List[str]:
    """Return what the processes of a server have open, for the one who has to find out."""
    found = []
    for each in [pid, *descendants(pid)]:
        with contextlib.suppress(OSError):
            fds = os.listdir("/proc/%d/fd" % each)
            kinds = [os.readlink("/proc/%d/fd/%s" % (each, fd)).split(":")[0] for fd in fds]
            found.append("%d %s: %s" % (each, command(each)[-60:], sorted(kinds)))
    return found


def _directories(work_dir: str) -> List[int]:
    """Return how many directories lie in each base."""
    return [len(os.listdir(os.path.join(work_dir, name))) for name in os.listdir(work_dir)]
