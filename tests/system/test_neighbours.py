"""Two runs, at once or one after the other, find no trace of each other: files, processes, memory, names, randomness."""

from __future__ import annotations

import os
import threading
from typing import Any, List

import pytest
from processes import await_that, descendants
from servers import ADMIN_KEY
from support import ROOT, in_threads

from pyexec.client import ServiceError

# Each part looks in one place. Marks are put together here, so that a script doesn't hold what it looks for.
LOOK = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
mark = '-'.join(['left', 'behind', %(mark)r])
seen = []
def tried(what, call, *arguments):
    try:
        result = call(*arguments)
    except (OSError, ImportError) as error:
        return None
    if isinstance(result, int) and result < 0:
        return None
    seen.append(what)
for place in ('.', '/tmp', '/dev/shm', '/var/tmp', '/run', '/proc', os.environ.get('HOME', '.')):
    try:
        seen += [place + '/' + name for name in os.listdir(place) if mark in name or name.isdigit()]
    except OSError:
        pass
for pid in set(%(pids)r) - {os.getpid(), os.getppid()}:  # an admin's own two may have waited by then
    for name in ('getpgid', 'getsid', 'sched_getaffinity', 'sched_getscheduler', 'sched_getparam'):
        tried('%%s %%d' %% (name, pid), getattr(os, name), pid)
    tried('pidfd_open %%d' %% pid, libc.syscall, 434, pid, 0)
    tried('kill %%d' %% pid, libc.kill, pid, 0)
    tried('getpriority %%d' %% pid, os.getpriority, os.PRIO_PROCESS, pid)
    tried('prlimit %%d' %% pid, lambda: libc.prlimit(pid, 7, None, (ctypes.c_ulong * 2)()))
    tried('ptrace %%d' %% pid, libc.ptrace, 16, pid, None, None)
tried('shared memory', libc.shmget, 0x5EED, 4096, 0)
tried('semaphores', libc.semget, 0x5EED, 1, 0)
tried('messages', libc.msgget, 0x5EED, 0)
tried('key', libc.syscall, 249 if os.uname().machine == 'x86_64' else 218, b'user', mark.encode(), None, 0)
tried('memory by name', lambda: os.close(os.open('/dev/shm/' + mark, os.O_RDWR)))
def abstract():
    import socket
    with socket.socket(socket.AF_UNIX) as end:
        end.connect('\\0' + mark)
tried('abstract socket', abstract)
print(seen)
"""
LEAVE = """
import ctypes, os, sys, time
libc = ctypes.CDLL(None, use_errno=True)
mark = 'left-behind-%(mark)s'
made = []
def tried(what, call, *arguments):
    try:
        if call(*arguments) not in (-1, None):
            made.append(what)
    except (OSError, ImportError):
        pass
for place in ('.', '/tmp', '/dev/shm', '/var/tmp', '/run', os.environ.get('HOME', '.')):
    tried(place, os.open, place + '/' + mark, os.O_CREAT | os.O_RDWR)
tried('shared memory', libc.shmget, 0x5EED, 4096, 0o1666)
tried('semaphores', libc.semget, 0x5EED, 1, 0o1666)
tried('messages', libc.msgget, 0x5EED, 0o1666)
tried('process', os.fork)
libc.prctl(15, mark.encode())
keep = [mark.encode() * 100 for _ in range(1000)]
print(mark, flush=True)
time.sleep(%(sleep)s)
"""


def _look(caller: Any, mark: str, pids: List[int]) -> str:
    result = caller.execute(LOOK % {"mark": mark, "pids": pids})
    assert result.success, result.stderr
    return str(result.stdout)


def test_two_runs_at_once(either_host) -> None:
    said: List[Any] = []
    mark = "once-%d" % os.getpid()
    leaving = threading.Thread(
        target=lambda: said.append(either_host.admin.execute(LEAVE % {"mark": mark, "sleep": 3}).stdout)
    )
    idle = descendants(either_host.process.pid)
    leaving.start()
    await_that(lambda: either_host.client.health()["active_runs"] == 1)
    await_that(lambda: len(set(descendants(either_host.process.pid)) - set(idle)) >= 2)
    pids = descendants(either_host.process.pid)
    assert _look(either_host.admin, mark, pids) == "[]\n"
    leaving.join()
    assert said and mark in said[0]  # it was there all the while


def test_two_runs_in_a_row(either_host) -> None:
    for place in range(3):
        mark = "row-%d-%d" % (os.getpid(), place)
        before = descendants(either_host.process.pid)
        left = either_host.admin.execute(
            LEAVE % {"mark": mark, "sleep": 0}, stdin=mark, attachments={mark: mark.encode()}
        )
        assert mark in left.stdout
        assert _look(either_host.admin, mark, before) == "[]\n"


# Finds every readable page around whatever the interpreter knows an address of, and looks for marks in all of it. A mark
# never stands in this script whole: its first half does, the second is masked.
SCAN = """
import ctypes, gc, os, sys
libc = ctypes.CDLL(None)
libc.pwrite.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_long)
libc.sbrk.restype = ctypes.c_void_p
probe = os.open('probe', os.O_CREAT | os.O_RDWR)
def readable(page):
    return libc.pwrite(probe, page, 1, 0) == 1
seeds = {id(o) for o in gc.get_objects()} | {id(m) for m in sys.modules.values()} | {id(v) for m in list(sys.modules.values()) for v in vars(m).values()}
seeds |= {libc.sbrk(0) - 1, ctypes.addressof(ctypes.c_char.in_dll(ctypes.pythonapi, '_Py_NoneStruct'))}
seeds |= {ctypes.cast(ctypes.c_void_p.in_dll(libc, 'environ').value, ctypes.c_void_p).value}
class Info(ctypes.Structure):
    _fields_ = [('base', ctypes.c_size_t), ('name', ctypes.c_char_p), ('headers', ctypes.c_void_p), ('count', ctypes.c_ushort)]
@ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(Info), ctypes.c_size_t, ctypes.c_void_p)
def note(info, size, data):
    seeds.add(info.contents.headers)
    return 0
libc.dl_iterate_phdr(note, None)
known, regions = set(), []
for seed in sorted(seeds):
    page = seed & ~4095
    if page in known or not readable(page):
        continue
    low = high = page
    while readable(low - 4096) and low - 4096 not in known:
        low -= 4096
    while readable(high + 4096):
        high += 4096
    known.update(range(low, high + 1, 4096))
    regions.append((low, high + 4096))
halves = %r
hits = [0] * len(halves)
total = 0
for low, high in regions:
    total += high - low
    for start in range(low, high, 1 << 20):
        try:
            part = ctypes.string_at(start, min((1 << 20) + 64, high - start))
        except MemoryError:
            continue
        for place, (first, masked) in enumerate(halves):
            found = part.find(first)
            while found >= 0:
                rest = part[found + len(first) : found + len(first) + len(masked)]
                hits[place] += bytes(b ^ 0x5A for b in rest) == masked
                found = part.find(first, found + 1)
print(total, *hits)
"""


def _halves(mark: str) -> Any:
    raw = mark.encode("utf-8")
    middle = len(raw) // 2
    return raw[:middle], bytes(byte ^ 0x5A for byte in raw[middle:])


@pytest.mark.parametrize(("names", "least_mib"), [("", 15), ("import numpy\n", 30)], ids=["plain", "with libraries"])
def test_no_trace_in_all_memory_that_a_run_can_read(either_host, names: str, least_mib: int) -> None:
    """A child's memory is the zygote's when it was forked: what isn't here never was in the zygote either."""
    marks = [
        "mark-of-a-script-%d" % os.getpid(),
        "mark-of-an-input-%d" % os.getpid(),
        "mark-of-a-file-%d" % os.getpid(),
    ]
    for caller in (either_host.client, either_host.admin):
        for _ in range(3):
            caller.execute(
                "%sprint(%r)\nprint(input())\nprint(open('f').read())" % (names, marks[0]),
                stdin=marks[1] + "\n",
                attachments={"f": marks[2].encode() * 1000},
            )
    wanted = [_halves(mark) for mark in marks + [ADMIN_KEY, "PYTHON_EXE_KEY"]]
    code = SCAN % (wanted,)
    assert len(code) > 2000  # so it comes as a file, which no limit on code is about
    loader = "exec(open('scan').read())"

    def scan(stdin: str) -> List[int]:
        result = either_host.admin.execute(
            names + "text = input().encode()\n" + loader, stdin=stdin + "\n", attachments={"scan": code.encode()}
        )
        assert result.success, result.stderr
        return [int(word) for word in result.stdout.split()]

    total, *hits = scan("nothing")
    assert total > least_mib << 20, total  # the interpreter, its heap and, if named, its libraries
    assert hits == [0] * 5
    # The control: what is there is found.
    total, *hits = scan(marks[1])
    assert hits[1] >= 1 and hits[0] == hits[2] == hits[3] == hits[4] == 0


CLEAN = (
    "print(1, None, (), 'abc', [1] * 3, {'a': 1}, 256 + 1, len('abc'), sorted('cab'))",
    "import numpy\nprint(numpy.arange(5).sum(), numpy.linalg.inv([[2.0, 0], [0, 4]]), numpy.zeros(3))",
    "import json, re, datetime\nprint(json.dumps({'a': [1, None]}), re.sub('a', 'b', 'banana'), datetime.date(2024, 2, 29))",
    "import io\nfrom PIL import Image\nb = io.BytesIO()\nImage.new('L', (9, 9), 7).save(b, 'PNG')\nprint(b.getvalue())",
    "1 / 0",
    "import nosuch",
)
HOSTILE = (
    # Objects that every process shares with its zygote: one, None, an empty tuple, a type.
    "import numpy\nfrom numpy.lib.stride_tricks import as_strided\na = numpy.zeros(8, numpy.int64)\nbase = a.__array_interface__['data'][0]\n"
    "as_strided(a, (2, 4), (id(1) - base, 8))[1][:] = 0\nprint(1)",
    "import ctypes\nctypes.memset(id(None), 0xFF, 64)",
    "import ctypes\nctypes.memset(id(1) + 24, 7, 4)\nprint(1)",
    "import ctypes, numpy\nctypes.memset(id(numpy.ndarray), 0, 400)",
    "import ctypes\nlibc = ctypes.CDLL(None)\nlibc.mprotect(ctypes.c_void_p(ctypes.cast(libc.getpid, ctypes.c_void_p).value & ~4095), 4096, 7)\n"
    "ctypes.memset(ctypes.cast(libc.getpid, ctypes.c_void_p).value, 0xCC, 16)\nlibc.getpid()",
    "import os, numpy\nfor path in (numpy.__file__, os.__file__):\n    try:\n        open(path, 'a').write('#')\n    except OSError: pass",
    "import builtins, sys\nbuiltins.__dict__.clear()\nsys.modules.clear()",
    "import os\nfor fd in range(256):\n    try:\n        os.write(fd, b'X{\"code\": 0}' * 100)\n    except OSError: pass",
    "import os, signal\nfor pid in (os.getppid(), 1, -1, 0):\n    try:\n        os.kill(pid, signal.SIGKILL)\n    except OSError: pass",
    "import sys\nsys.setrecursionlimit(10 ** 9)\nx = []\nfor _ in range(10 ** 6): x = [x]\nrepr(x)",
    "import resource\nresource.setrlimit(resource.RLIMIT_AS, (1 << 20, 1 << 20))\nx = bytearray(1 << 22)",
    "x = []\nwhile True: x.append(bytes(1 << 20))",
)


def _ending(caller: Any, code: str) -> Any:
    try:
        result = caller.execute(code)
    except ServiceError as error:
        return error.type
    return result.stdout, result.stderr, result.exit_code


@pytest.mark.parametrize("code", HOSTILE)
def test_a_hostile_run_and_then_a_clean_one_byte_for_byte(server, code) -> None:
    before = [_ending(server.client, each) for each in CLEAN]
    for caller in (server.admin, server.client):
        _ending(caller, code)
    assert [_ending(server.client, each) for each in CLEAN] == before
    assert server.client.health()["template_restarts"] == 0


RANDOM = """
import os, random, secrets, tempfile, time, uuid, numpy
print(random.random(), random.getstate()[1][:3], secrets.token_hex(), uuid.uuid4(), uuid.uuid1(), numpy.random.random(),
      numpy.random.get_state()[1][0], numpy.random.default_rng().random(), tempfile.mktemp(), os.urandom(8), random.SystemRandom().random(), sep='|')
"""


def test_nothing_random_is_shared_by_runs_at_once_or_in_a_row(either_host) -> None:
    lines = in_threads(2, lambda _: [either_host.admin.execute(RANDOM).stdout.strip().split("|") for _ in range(5)])
    rows = [row for thread in lines for row in thread]
    for column in zip(*rows):
        assert len(set(column)) == len(rows), column


def test_order_by_hashes_is_shared_as_the_documentation_says(server) -> None:
    with open(os.path.join(ROOT, "SECURITY.md"), encoding="utf-8") as file:
        assert "**Hashes and addresses.**" in file.read()
    assert len({server.client.execute("print(hash('a'), {'x', 'y', 'z'})").stdout for _ in range(4)}) == 1


def test_each_slot_has_a_uid_of_its_own_where_the_server_is_root(either_host) -> None:
    """An ordinary user's server has no other uids to give."""
    code = "import os, time\ntime.sleep(1)\nprint(*os.getresuid())"
    found = [result.stdout.split() for result in in_threads(2, lambda _: either_host.admin.execute(code))]
    assert all(len(set(uids)) == 1 for uids in found), found
    if "own_uid" in either_host.client.health()["layers"]:
        assert found[0] != found[1] and "0" not in found[0] + found[1], found
    else:
        assert found[0] == found[1] and os.geteuid() != 0, found
