"""Memory that no rlimit counts: each way of holding it, filled as far as it goes, and what the kernel counts for it.

The bounds are those of SECURITY.md's table, which has the figures measured here (`pytest -s` prints them). Lower bounds
show that something was held at all; they are asked only where a memory cgroup counts, and nothing else is in it.
"""

from __future__ import annotations

import os
import random
import time
from typing import Any, Iterator, List, Tuple

import pytest
from figures import record
from memory import MIB, Counter, counted
from servers import RunningServer
from wrappers import DOCKER

from pyexec.client import ServiceError

HOLD = "time.sleep(1)\nprint('held')\n"
Host = Tuple[Any, Counter, bool]

# A queue keeps what was sent to it for as long as its reading end is open: one descriptor each.
FILL = """
import os, socket, time
def fill(fd, part):
    while True:
        try:
            os.write(fd, part)
        except BlockingIOError:
            return
def pipes():
    held = []
    while True:
        try:
            near, far = os.pipe()
        except OSError:
            return held
        os.set_blocking(far, False)
        fill(far, bytes(4096))
        os.close(far)
        held.append(near)
def pairs():
    held = []
    while True:
        try:
            near, far = socket.socketpair()
        except OSError:
            return held
        far.setblocking(False)
        for size in (32768, 4096, 1):
            fill(far.fileno(), bytes(size))
        far.close()
        held.append(near)
"""
IN_EACH = """
children = 0
while True:
    try:
        pid = os.fork()
    except OSError:
        break
    if pid == 0:
        held = %s()
        time.sleep(3)
        os._exit(0)
    children += 1
    if children == 10:
        break
held = %s()
time.sleep(1)
"""
# One page read, never written, in each of so many places that none shares a table with another. The address space
# grows by these pages alone.
TABLES = """
import ctypes, time
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
made = 0
for place in range(1, 100000):
    address = libc.mmap(place << 30, 4096, 1, 0x100022, -1, 0)  # PRIVATE, ANONYMOUS, FIXED_NOREPLACE
    if address == ctypes.c_void_p(-1).value:
        if ctypes.get_errno() == 12:
            break
        continue
    ctypes.string_at(address, 1)
    made += 1
print(made)
"""
DELETED = """
import os, time
held = []
while True:
    fd = os.open('f', os.O_RDWR | os.O_CREAT)
    os.unlink('f')
    held.append(fd)
    try:
        while True:
            if os.write(fd, bytes(1 << 16)) < 1 << 16:
                break
    except OSError as error:
        if error.errno == 28 or len(held) == 4:
            break
"""
# A watch belongs to a file and a number: it stays when the number is given to another file, if the first is still open.
WATCHES = """
import time
from numpy.ctypeslib import ctypes
libc, event = ctypes.CDLL(None), ctypes.create_string_buffer(16)
numbers = [libc.eventfd(0, 0) for _ in range(28)]
files = [libc.eventfd(0, 0) for _ in range(112)]
polls = [fd for fd in iter(lambda: libc.epoll_create1(0), -1)]
made = 0
for number in numbers:
    for fd in files:
        libc.dup2(fd, number)
        for poll in polls:
            made += libc.epoll_ctl(poll, 1, number, event) == 0
assert made > 300000 and min(files) == 32, (made, files)
assert not any(libc.epoll_ctl(polls[0], 1, number, event) == 0 for number in files)
"""
NAMES = """
import time
made = 0
while True:
    try:
        open('%0255d' % made, 'x').close()
    except OSError:
        break
    made += 1
print(made)
"""
# All in one call each, so that the watch comes too late.
STREAMS = """
import random
os = random._os
part = bytes(1 << 20)
os.writev(1, [part] * 64)
os.writev(2, [part] * 64)
"""


@pytest.fixture(scope="module", params=["mounts", "no mounts"])
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    """A server whose memory is counted, and whether its runs have a tmpfs of their own."""
    refuse = DOCKER if request.param == "no mounts" else []
    with counted() as counter:
        settings = {"rate_per_minute": 100000, "rate_per_day": 100000, "max_runs": 2, "wall_s": 60}
        running = RunningServer(settings, counter.wrapper + refuse)
        try:
            assert running.client.execute("print(1)").stdout == running.admin.execute("print(1)").stdout
            yield running, counter, "mount_namespace" in running.client.health()["layers"]
        finally:
            assert running.stop() == 0, running.log


# What a script, its interpreter and the child that takes its slot have by right, counted with the rest.
ITSELF = 48 * MIB


def _holds(host: Host, code: str, least: int, most: int, ends: str = "", public: bool = False) -> None:
    """Check what a script makes the kernel hold, beside itself. It prints "held", or the limit `ends` ends it."""
    running, counter, _ = host
    said: List[str] = []

    def run() -> None:
        try:
            said.append((running.client if public else running.admin).execute(code).stdout.split()[-1])
        except ServiceError as error:
            said.append(str(error.document["error_details"].get("resource")))

    # Where the whole machine is read, others may have taken much at just this moment, but not each time.
    for turn in range(1 if counter.exact else 6):
        time.sleep(turn and random.uniform(0, 10))  # out of step with another session that does the same
        held = counter.most_of(run)
        assert said[-1] in ("held", ends)
        if held <= most + ITSELF + counter.margin_bytes:
            break
    print("%s: %.1f MiB, %s" % (os.environ["PYTEST_CURRENT_TEST"], held / MIB, said[-1]))
    assert held <= most + ITSELF + counter.margin_bytes
    assert held >= least or not counter.exact or said[-1] != "held"
    record("memory attacks by runs, each within its bound")


def test_streams(host: Host) -> None:
    _holds(host, STREAMS, 4 * MIB, 136 * MIB, "output", public=True)


def test_deleted_files(host: Host) -> None:
    """On a disk they are no memory: the kernel can write them out."""
    _holds(host, DELETED + HOLD, 60 * MIB if host[2] else 0, 64 * MIB, "disk")


@pytest.mark.parametrize("public", [True, False])
@pytest.mark.parametrize("what, least", [("pipes", 8 * MIB), ("pairs", 32 * MIB)])
def test_queues_of_one_process(host: Host, what: str, least: int, public: bool) -> None:
    code = FILL + "held = %s()\n" % what + HOLD
    if public:  # what it may not import, allowed modules have
        code = code.replace(
            "import os, socket, time",
            "import asyncio, time\nos, socket = asyncio.base_events.os, asyncio.base_events.socket",
        )
    _holds(host, code, least, 64 * MIB, public=public)


@pytest.mark.parametrize("what, least", [("pipes", 24 * MIB), ("pairs", 320 * MIB)])
def test_queues_of_all_processes(host: Host, what: str, least: int) -> None:
    """The script and ten processes that it has made: their number is what bounds it."""
    _holds(host, FILL + IN_EACH % (what, what) + HOLD, least, 11 * 64 * MIB + 50 * MIB, "processes")


def test_tables_of_pages(host: Host) -> None:
    _holds(host, TABLES + HOLD, 400 * MIB, 640 * MIB, "memory")


def test_watches_of_events(host: Host) -> None:
    """Each takes some 212 bytes; those of descriptors from 32 on are refused."""
    _holds(host, WATCHES + HOLD, 48 * MIB, 106 * MIB, public=True)


@pytest.mark.parametrize("public", [True, False])
def test_names(host: Host, public: bool) -> None:
    _holds(host, NAMES + HOLD, 0, 4 * MIB, "files", public)


@pytest.mark.parametrize("what", ["mmap.mmap(-1, 1 << 30, 0x21)", "mmap.mmap(os.open('/dev/zero', 2), 1 << 30, 1)"])
def test_what_is_refused_holds_nothing(host: Host, what: str) -> None:
    code = """
import mmap, os
try:
    made = %s
    for place in range(0, len(made), 4096):
        made[place] = 1
    print('taken')
except OSError:
    print('held')
"""
    _holds(host, code % what, 0, 0)
