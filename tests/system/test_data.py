"""An operator's data directories: every script may read them, none may change them or get out of them through them."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any, Dict, Iterator, Tuple

import pytest
from servers import RunningServer
from support import ROOT
from wrappers import EITHER_HOST

from pyexec.kernel import libc

RENAME_EXCHANGE = 2
SECRET = "the host's own"
FIND = "import os\nbase = os.environ['PYEXEC_DATA_set']\n"
TRY = """
def attempt(name, function):
    try:
        print(name, function())
    except OSError as error:
        print(name, type(error).__name__)
"""
CHANGES = """
attempt('create', lambda: open(base + '/new', 'w'))
attempt('append', lambda: open(base + '/a.txt', 'a'))
attempt('empty', lambda: os.truncate(base + '/a.txt', 0))
attempt('remove', lambda: os.unlink(base + '/a.txt'))
attempt('make a directory', lambda: os.mkdir(base + '/d'))
attempt('rename', lambda: os.rename(base + '/a.txt', base + '/b.txt'))
attempt('link', lambda: os.link(base + '/a.txt', base + '/c.txt'))
attempt('link symbolically', lambda: os.symlink('a.txt', base + '/s'))
"""
# Where nothing confines these, Python's own do nothing; so what C code calls is tried as well.
MODES_AND_TIMES = """
import numpy
native = numpy.ctypeslib.ctypes.CDLL(None, use_errno=True)
times = (numpy.ctypeslib.ctypes.c_long * 4)(1, 0, 1, 0)
for path in (base + '/a.txt', base + '/sub', base):
    fd, name = os.open(path, os.O_RDONLY), path.encode()
    attempt('mode', lambda: os.chmod(path, 0o700))
    attempt('mode of a descriptor', lambda: os.chmod(fd, 0o700))
    attempt('times', lambda: os.utime(path, (1, 1)))
    attempt('now', lambda: os.utime(path))
    attempt('times of a descriptor', lambda: os.utime(fd, (1, 1)))
    attempt('now of a descriptor', lambda: os.utime(fd))
    attempt('chmod', lambda: native.chmod(name, 0o700))
    attempt('fchmod', lambda: native.fchmod(fd, 0o700))
    attempt('utimensat', lambda: native.utimensat(-100, name, times, 0))
    attempt('utimensat now', lambda: native.utimensat(-100, name, None, 0))
    attempt('futimens', lambda: native.futimens(fd, times))
    attempt('futimens now', lambda: native.futimens(fd, None))
"""


@pytest.fixture(scope="module", params=sorted(EITHER_HOST))
def served(request: pytest.FixtureRequest) -> Iterator[Dict[str, Any]]:
    """A server with one data directory, below a directory that has something else in it."""
    with tempfile.TemporaryDirectory(prefix="data-") as above:
        base = Path(above) / "set"
        (base / "sub").mkdir(parents=True)
        (Path(above) / "secret").write_text(SECRET)
        (base / "a.txt").write_text("first\n")
        (base / "sub" / "b.txt").write_text("second\n")
        (base / "absolute").symlink_to(Path(above) / "secret")
        (base / "relative").symlink_to("../secret")
        (base / "directory").symlink_to("..")
        for path in [Path(above), base, *base.iterdir()]:
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() else 0o666)  # writable, as far as modes go
        limits = {"rate_per_minute": 100000, "rate_per_day": 100000, "max_runs": 2, "modules": "+os"}
        running = RunningServer(dict(limits, data="set=%s" % base), EITHER_HOST[request.param])
        layers = running.client.health()["layers"]
        own_pids = "pid_namespace" in layers
        yield {
            "running": running,
            "base": base,
            "tree": "mount_namespace" in layers,
            "own_pids": own_pids,
            "own_uid": "own_uid" in layers,
        }
        assert running.stop() == 0, running.log


def test_every_script_reads_them_and_lists_them(served: Dict[str, Any]) -> None:
    code = FIND + "print(open(base + '/a.txt').read() + open(base + '/sub/b.txt').read(), sorted(os.listdir(base)))"
    for client in (served["running"].client, served["running"].admin):
        result = client.execute(code)
        assert result.stdout == "first\nsecond\n ['a.txt', 'absolute', 'directory', 'relative', 'sub']\n", result.stderr


def test_where_they_are_is_told(served: Dict[str, Any]) -> None:
    expected = "/data/set" if served["tree"] else str(served["base"])
    with urllib.request.urlopen(served["running"].url + "/about") as answer:
        assert json.load(answer)["data"] == {"set": expected}
    assert served["running"].client.execute(FIND + "print(base)").stdout == expected + "\n"


def test_no_script_changes_them(served: Dict[str, Any]) -> None:
    before = sorted((path, path.lstat().st_mode) for path in served["base"].rglob("*"))
    for client in (served["running"].client, served["running"].admin):
        result = client.execute(FIND + TRY + CHANGES)
        words = [line.rsplit(" ", 1)[1] for line in result.stdout.splitlines()]
        assert len(words) == 8 and set(words) <= {"PermissionError", "OSError"}, result
    assert sorted((path, path.lstat().st_mode) for path in served["base"].rglob("*")) == before
    assert (served["base"] / "a.txt").read_text() == "first\n"


def _modes_and_times(base: Path) -> Dict[Path, Tuple[int, int]]:
    found = {path: path.lstat() for path in [base, *base.rglob("*")]}
    return {path: (status.st_mode, status.st_mtime_ns) for path, status in found.items()}


def test_no_script_changes_their_modes_and_times(served: Dict[str, Any]) -> None:
    """But for what docs/libraries.md says of files that everybody may write to."""
    touches = served["own_uid"] and not served["tree"]
    for client in (served["running"].client, served["running"].admin):
        before, began = _modes_and_times(served["base"]), time.time_ns()
        result = client.execute(FIND + TRY + MODES_AND_TIMES)
        lines = result.stdout.splitlines()
        done = [line for line in lines if line.split()[-1] not in ("PermissionError", "OSError", "-1")]
        if served["tree"]:
            assert len(lines) == 36 and not done, result
        elif touches:
            assert len(lines) == 36 and all("now" in line for line in done), result
        else:  # the filter answers with success, and nothing is done
            assert len(lines) == 36 and all(line.split()[-1] in ("None", "0") for line in done), result
        for path, (mode, changed_ns) in _modes_and_times(served["base"]).items():
            assert mode == before[path][0], (path, result)
            if changed_ns != before[path][1]:
                assert touches and mode & 0o002 and changed_ns > began - 10**8, (path, result)


READ_WHILE_IT_CHANGES = """
import time
found, until = {}, time.monotonic() + 1
def note(name, function):
    try:
        said = str(function())
    except OSError as error:
        said = type(error).__name__
    found[name, said] = found.get((name, said), 0) + 1
def by_descriptor():
    fd = os.open(base + '/swapped', os.O_RDONLY | os.O_DIRECTORY)
    try:
        inner = os.open('secret', os.O_RDONLY, dir_fd=fd)
        try:
            return os.read(inner, 99)
        finally:
            os.close(inner)
    finally:
        os.close(fd)
while time.monotonic() < until:
    note('by name', lambda: open(base + '/swapped/secret').read())
    note('upwards', lambda: open(base + '/swapped/../secret').read())
    note('by descriptor', by_descriptor)
    note('list', lambda: sorted(os.listdir(base + '/swapped')))
print(found)
"""


def test_a_directory_that_becomes_a_link_while_it_is_read_does_not_lead_out(served: Dict[str, Any]) -> None:
    """The operator's programs exchange it for a link to the directory above, again and again."""
    place, link = served["base"] / "swapped", served["base"] / "link"
    place.mkdir()
    place.chmod(0o755)
    (place / "secret").write_text("inside")
    (place / "secret").chmod(0o644)
    link.symlink_to("..")
    is_over = threading.Event()

    def exchange() -> None:
        while not is_over.wait(0.001):
            libc.syscall("renameat2", -100, bytes(place), -100, bytes(link), RENAME_EXCHANGE)

    exchanging = threading.Thread(target=exchange)
    exchanging.start()
    try:
        for client in (served["running"].client, served["running"].admin):
            result = client.execute(FIND + READ_WHILE_IT_CHANGES)
            assert SECRET not in result.stdout and "'secret', 'set'" not in result.stdout, result
            assert "('by name', 'inside')" in result.stdout and "Error" in result.stdout, result  # it was both
    finally:
        is_over.set()
        exchanging.join()
        for path in (place, link):
            path.unlink() if path.is_symlink() else shutil.rmtree(str(path))


def test_links_do_not_lead_out_of_them(served: Dict[str, Any]) -> None:
    code = FIND + TRY
    code += "for name in ('absolute', 'relative', 'directory/secret', '../secret', 'sub/../../secret'):\n"
    code += "    attempt(name, lambda: open(base + '/' + name).read())\n"
    code += "attempt('list', lambda: os.listdir(base + '/directory'))\n"
    for client in (served["running"].client, served["running"].admin):
        result = client.execute(code)
        assert SECRET not in result.stdout and "secret']" not in result.stdout, result
        assert len(result.stdout.splitlines()) == 6


def test_what_the_operator_changes_is_seen(served: Dict[str, Any]) -> None:
    path = served["base"] / "changing"
    for text in ("one", "two"):
        path.write_text(text)
        path.chmod(0o644)
        assert served["running"].client.execute(FIND + "print(open(base + '/changing').read())").stdout == text + "\n"
    path.unlink()
    assert served["running"].client.execute(FIND + "print(os.path.exists(base + '/changing'))").stdout == "False\n"


READ_A_DATABASE = """
import sqlite3, time
connection = sqlite3.connect("file:%s/x.db?{}" % base, uri=True)
connection.execute("begin")
print(connection.execute("select a from t").fetchone()[0], flush=True)
time.sleep(2)
"""


@pytest.mark.parametrize("how, is_locked", [("mode=ro", True), ("immutable=1", False)])
def test_a_reader_of_a_database_holds_off_its_writer_unless_it_is_immutable(
    served: Dict[str, Any], how: str, is_locked: bool
) -> None:
    """What docs/libraries.md says of databases in --data."""
    path = served["base"] / "x.db"
    with contextlib.closing(sqlite3.connect(str(path), timeout=0, isolation_level=None)) as writer:
        writer.execute("create table if not exists t(a)")
        writer.execute("insert into t values (1)")
        path.chmod(0o644)
        said = []
        script = FIND + READ_A_DATABASE.replace("{}", how)

        def read() -> None:
            said.append(served["running"].client.execute(script))
            if "disk I/O error" in said[-1].stderr and not served["own_pids"]:
                read()  # it came while a change was under way, and may not ask whose lock that is

        reader = threading.Thread(target=read)
        reader.start()
        refused = set()
        while reader.is_alive():
            try:
                writer.execute("insert into t values (1)")
            except sqlite3.OperationalError as error:
                refused.add(str(error))
            time.sleep(0.05)
        reader.join()
        assert said[-1].stdout == "1\n", said[-1].stderr
        assert refused == ({"database is locked"} if is_locked else set())
    path.unlink()


def test_a_directory_that_runs_cannot_read_stops_the_start(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(0)
    command = [sys.executable, "-m", "pyexec", "doctor", "--data", "x=%s" % closed]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    assert done.returncode == 1 and b"can't read this data directory" in done.stdout, done.stdout
