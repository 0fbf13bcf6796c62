"""The contract's table of hosts: what a script may do with files, by whether there is a tree, a uid of its own, a tmpfs.

Run as root and as an ordinary user these are the four kinds of host, and the two where `--work-dir` is a tmpfs.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from typing import Iterator, List, Tuple

import pytest
from processes import await_that
from servers import RunningServer
from wrappers import DOCKER, EITHER_HOST, TMPFS_BYTES, directory_on_tmpfs, with_landlock_abi

from pyexec.client import ServiceError
from pyexec.kernel import landlock

LIMITS = {"rate_per_minute": 100000, "rate_per_day": 100000, "max_runs": 2, "code_chars": 20000}
try:
    KERNEL_ABI = landlock.probe()
except OSError:
    KERNEL_ABI = 0


class Host:
    """A server, and what the host that it finds has."""

    def __init__(self, running: RunningServer, deletes: bool, work_dir: str) -> None:
        layers = running.client.health()["layers"]
        self.client, self.admin, self.work_dir = running.client, running.admin, work_dir
        self.tree, self.own_uid = "mount_namespace" in layers, "own_uid" in layers
        self.deletes = deletes or self.tree


@contextlib.contextmanager
def _directory_on_disk() -> Iterator[Tuple[str, List[str]]]:
    with tempfile.TemporaryDirectory(prefix="work-dir-", dir="/var/tmp") as work_dir:
        os.chmod(work_dir, 0o755)
        yield work_dir, []


@pytest.fixture(scope="module", params=("tree", "disk", "tmpfs"))
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    """Where each run has a tree, if this machine allows that, and where all lie on a disk, or on a tmpfs with a size."""
    with directory_on_tmpfs() if request.param == "tmpfs" else _directory_on_disk() as (work_dir, before):
        wrapper = [*before, *(EITHER_HOST["mounts"] if request.param == "tree" else DOCKER)]
        running = RunningServer(dict(LIMITS, work_dir=work_dir), wrapper)
        yield Host(running, request.param == "tmpfs", work_dir)
        assert running.stop() == 0, running.log


def _both(host: Host, code: str, **more: object) -> str:
    """Return what a script prints as a public one, having checked that as an admin's it prints the same."""
    said = [client.execute(code, **more) for client in (host.client, host.admin)]
    assert all(result.success for result in said), [result.stderr for result in said]
    assert said[0].stdout == said[1].stdout
    return said[0].stdout


MAKE = """
from pathlib import Path
Path("d/e").mkdir(parents=True)
Path("d/e/f.txt").write_text("f")
Path("link").symlink_to("d/e/f.txt")
Path("d/e/f.txt").rename("d/e/g.txt")
Path("link").resolve()
print(sorted(str(path) for path in Path("d").rglob("*")), Path("link").is_symlink())
import contextlib, shutil
shutil.os.chdir("d")
print(Path("e/g.txt").read_text(), Path.cwd().name)
"""


def test_names_are_made_and_renamed(host: Host) -> None:
    assert _both(host, MAKE) == "['d/e', 'd/e/g.txt'] True\nf d\n"


MOVE = """
from pathlib import Path
import shutil
Path("a").mkdir(); Path("b").mkdir(); Path("a/x").write_text("x")
print(shutil.move("a/x", "b/x"), Path("a/x").exists(), Path("b/x").read_text())
"""


def test_files_move_between_directories(host: Host) -> None:
    assert _both(host, MOVE) == "b/x False x\n"


BETWEEN_DIRECTORIES = """
import errno, numpy, os, shutil
from pathlib import Path
Path("a").mkdir(); Path("b").mkdir(); Path("a/x").write_text("x"); Path("a/z").mkdir()
os.rename("a/x", "a/y")
Path("a/z").rename("a/w")
print(sorted(os.listdir("a")), Path("a/y").read_text())
def attempt(function, *paths):
    try:
        function(*paths)
        print("done", end=" ")
    except OSError as error:
        print(errno.errorcode[error.errno], paths == (error.filename, error.filename2), end=" ")
attempt(os.rename, "a/y", "b/y"); attempt(os.replace, "a/w", "b/w"); attempt(os.rename, "none", "b/none")
native = numpy.ctypeslib.ctypes.CDLL(None, use_errno=True)
print(native.renameat2(-100, b"a/y", -100, b"b/y", 1), errno.errorcode[numpy.ctypeslib.ctypes.get_errno()])
try:
    print(shutil.move("a/y", "b/y"), os.path.exists("a/y"), Path("b/y").read_text())
except PermissionError as error:
    print("--work-dir" in str(error), Path("a/y").read_text())
"""


@pytest.mark.skipif(KERNEL_ABI < 2, reason="this kernel has no Landlock above ABI 1")
@pytest.mark.parametrize("where", ["disk", "tmpfs"])
def test_under_landlocks_first_abi_nothing_moves_between_directories(where: str) -> None:
    """`shutil.move` copies then, as between two disks, and deletes where that is possible."""
    with directory_on_tmpfs() if where == "tmpfs" else _directory_on_disk() as (work_dir, before):
        wrapper = [*before, *with_landlock_abi(1), *DOCKER]
        running = RunningServer(dict(LIMITS, work_dir=work_dir, modules="+os"), wrapper)
        try:
            for client in (running.client, running.admin):
                result = client.execute(BETWEEN_DIRECTORIES)
                within, across, moved = result.stdout.splitlines()
                assert within == "['w', 'y'] x", result
                assert across == "EXDEV True EXDEV True ENOENT True -1 EXDEV", result
                copies = where == "tmpfs" or client is running.admin
                assert moved == ("b/y False x" if copies else "True x"), result
        finally:
            assert running.stop() == 0, running.log


DELETE = """
from pathlib import Path
Path("a").write_text("a"); Path("b").write_text("b"); Path("d").mkdir(); Path("c").unlink(missing_ok=True)
for step in (Path("a").unlink, Path("d").rmdir, lambda: Path("b").replace("script.py")):
    try:
        step()
        print("done")
    except PermissionError as error:
        print(error.errno, "--work-dir" in str(error))
"""


def test_deleting_and_replacing_are_bounded_by_a_tmpfs_or_refused(host: Host) -> None:
    done = "done\ndone\ndone\n"
    assert host.admin.execute(DELETE).stdout == done
    result = host.client.execute(DELETE)
    assert result.stdout == (done if host.deletes else "1 True\n1 True\n1 True\n"), result.stderr


NATIVE_RENAME = """
import numpy, math
from pathlib import Path
Path("a").write_text("a"); Path("b").write_text("b")
native = numpy.ctypeslib.ctypes.CDLL(None, use_errno=True)
print(native.link(b"a", b"c"), native.rename(b"a", b"free"), native.rename(b"b", b"script.py"))
"""


def test_renaming_and_linking_by_native_code(host: Host) -> None:
    result = host.client.execute(NATIVE_RENAME)
    assert result.stdout == ("0 0 0\n" if host.deletes else "-1 -1 -1\n"), result.stderr


MODES = """
import shutil
from pathlib import Path
Path("a").write_text("a")
before = Path("a").stat()
Path("a").chmod(0o600)
shutil.os.utime("a", (1, 1))
after = Path("a").stat()
print(oct(after.st_mode & 0o777), int(after.st_mtime) == 1)
shutil.copy2("a", "b"); shutil.copystat("a", "b")
"""


def test_modes_and_times_change_where_something_confines_that_and_nothing_happens_elsewhere(host: Host) -> None:
    changed = host.tree or host.own_uid
    assert _both(host, MODES) == ("0o600 True\n" if changed else "0o644 False\n")


ARCHIVES = """
import shutil, tempfile, zipfile
from pathlib import Path
with zipfile.ZipFile("a.zip", "w") as archive:
    archive.writestr("d/a.txt", "a")
zipfile.ZipFile("a.zip").extractall("out")
shutil.copy("out/d/a.txt", "copy.txt")
shutil.copytree("out", "again")
print(Path("again/d/a.txt").read_text())
with tempfile.TemporaryDirectory() as directory, tempfile.NamedTemporaryFile() as named:
    Path(directory, "x").write_text("x")
    named.write(b"x")
with tempfile.TemporaryFile() as file:
    file.write(b"abc"); file.seek(0); print(file.read())
"""


def test_archives_copies_and_temporary_files(host: Host) -> None:
    assert _both(host, ARCHIVES) == "a\nb'abc'\n"


TEMPORARY = """
import shutil, tempfile
from pathlib import Path
environ = shutil.os.environ
for name in ("TMPDIR", "HOME"):
    path = Path(environ[name], "x")
    path.write_text("x")
    print(name, path.read_text(), path.parent != Path.cwd())
print(tempfile.gettempdir() == environ["TMPDIR"], Path.home() == Path(environ["HOME"]), environ["USER"])
"""


def test_temporary_files_and_home_lie_outside_of_the_runs_directory(host: Host) -> None:
    assert _both(host, TEMPORARY) == "TMPDIR x True\nHOME x True\nTrue True runner\n"
    result = host.client.execute(TEMPORARY, return_files=["x"])
    assert set(result.files) == set() and result.file_errors == {"x": "File not found after execution."}


PLACES = """
from pathlib import Path
for place in ("/tmp", "/mnt/data", "/dev/shm"):
    path = Path(place, "x.txt")
    try:
        path.write_text(place)
        print(path.read_text(), Path("x.txt").exists())
    except OSError as error:
        print(type(error).__name__)
"""


def test_well_known_places(host: Host) -> None:
    said = _both(host, PLACES).splitlines()
    if host.tree:
        assert said == ["/tmp False", "/mnt/data True", "/dev/shm True"]
    else:
        assert set(said) <= {"PermissionError", "FileNotFoundError"}
    for place in ("/tmp", "/dev/shm"):
        assert not os.path.exists(place + "/x.txt")
    for place in ("/tmp", "/mnt/data", "/dev/shm"):
        result = host.client.execute(f"open('{place}/x.txt', 'w')")
        assert result.success or "can't give runs a file tree of their own" in str(result.hint)


STREAMS = """
import sys
print(sum(int(x) for line in open("/dev/stdin") for x in line.split()))
open("/dev/stdout", "w").write("by name\\n")
open("/dev/stderr", "w").write("an error\\n")
"""


def test_streams_are_opened_by_name(host: Host) -> None:
    assert _both(host, STREAMS, stdin="1 2\n3\n") == "6\nby name\n"
    assert host.client.execute(STREAMS, stdin="1").stderr == "an error\n"


DATABASE = """
import sqlite3
connection = sqlite3.connect("a.db")
with connection:
    connection.execute("create table t(a)")
    connection.executemany("insert into t values (?)", [(n,) for n in range(1000)])
connection.execute("delete from t")
connection.rollback()
second = sqlite3.connect(database="a.db", isolation_level=None)
print(second.execute("select sum(a) from t").fetchone()[0])
with sqlite3.connect(":memory:") as third:
    print(third.execute("select 1").fetchone()[0])
open("none.db", "w").write("this is no database at all" * 99)
try:
    sqlite3.connect("none.db").execute("select * from t")
except sqlite3.DatabaseError as error:
    print(error)
"""


def test_a_database_works_with_its_journal(host: Host) -> None:
    assert _both(host, DATABASE) == "499500\n1\nfile is not a database\n"


LARGE = """
import sqlite3
connection = sqlite3.connect("a.db")
connection.execute("create table t(a, b)")
connection.executemany("insert into t values (?, ?)", ((n * 7919 % 100003, "x" * 50) for n in range(60000)))
connection.commit()
print(connection.execute("select a from t order by b, a desc").fetchone()[0])
connection.execute("create index i on t(b, a)")
connection.execute("create temporary table u as select * from t")
connection.execute("vacuum")
print(connection.execute("select count(*) from u").fetchone()[0])
"""


def test_a_database_sorts_more_than_its_memory_holds(host: Host) -> None:
    """In a temporary file, whose directory SQLite looks up before there is a run."""
    assert _both(host, LARGE, return_files=["*"]) == "100002\n60000\n"


SEVERAL = """
import sqlite3
connection = sqlite3.connect("a.db")
connection.execute("create table t(a)")
connection.execute("attach 'b.db' as b")
cursor = connection.cursor()
cursor.execute("create table b.t(a)")
third = chr(34) + "the " + 2 * chr(34) + "third" + 3 * chr(34)
cursor.execute(f"attach 'c.db' as {third}")
cursor.execute(f"create table {third}.t(a)")
for name in ("main", "b", third):
    connection.execute(f"insert into {name}.t values (?)", [name])
connection.commit()
connection.executescript("insert into t values ('; attach'); attach 'd.db' as d; create table d.t(a); "
                         "insert into d.t values (1); insert into b.t values (1)")
connection.row_factory, connection.text_factory = sqlite3.Row, bytes
print(connection.execute("pragma journal_mode=delete").fetchone()[0])
connection.execute("insert into t values (2)")
connection.execute("insert into b.t values (2)")
connection.rollback()
connection.execute("delete from b.t where a = 1")
connection.commit()
print([row["a"] for row in connection.execute("select a from t union all select a from b.t union all select a from d.t")])
print(repr(connection).split(" at 0x")[0], type(cursor).__module__, cursor.execute("select ? + ?", (1, 2)).fetchone()[0])
try:
    connection.execute("attach 'none' as b")
except sqlite3.OperationalError as error:
    print(error)
try:
    connection.execute("select ?")
except sqlite3.Error as error:
    print(type(error).__name__)
class Own(sqlite3.Connection):
    pass
print(isinstance(sqlite3.connect("a.db", factory=Own), Own))
"""


def test_a_transaction_over_several_databases(host: Host) -> None:
    said = _both(host, SEVERAL, return_files=["*.db"]).splitlines()
    assert said[:2] == ["b'delete'", "[b'main', b'; attach', b'b', 1]"]
    assert said[2] == "<sqlite3.Connection object sqlite3 3"
    assert said[3:] == ["database b is already in use", "ProgrammingError", "True"]


COPY = """
import sqlite3
connection = sqlite3.connect("a.db")
connection.execute("create table t(a)")
connection.execute("insert into t values (1)")
connection.commit()
connection.%s
print(sqlite3.connect("copy.db").execute("select a from t").fetchone()[0])
"""


def test_a_database_is_copied_or_the_hint_says_how(host: Host) -> None:
    assert _both(host, COPY % "backup(sqlite3.connect('copy.db'))") == "1\n"
    for client in (host.client, host.admin):
        result = client.execute(COPY % "execute('VACUUM INTO ?', ['copy.db'])")
        if host.deletes or client is host.admin:
            assert result.stdout == "1\n", result
        else:
            assert "connection.backup(sqlite3.connect('copy.db'))" in str(result.hint), result


TYPES = (
    "import mimetypes, urllib.request\nfrom pathlib import Path\n"
    + """
print(mimetypes.guess_type("a.pdf")[0], mimetypes.guess_type("a.html")[0])
Path("a.txt").write_text("text")
print(urllib.request.urlopen(Path("a.txt").absolute().as_uri()).read())
"""
)


def test_media_types_are_known(host: Host) -> None:
    assert _both(host, TYPES) == "application/pdf text/html\nb'text'\n"


SHELF = """
import shelve
with shelve.open("shelf") as shelf:
    shelf["a"] = [1]
with shelve.open("shelf", writeback=True) as shelf:
    shelf["a"].append(2)
with shelve.open("shelf", "r") as shelf:
    print(dict(shelf))
with shelve.open("shelf", "n") as shelf:
    print(dict(shelf))
    shelf["b"] = 1
with shelve.open("shelf") as shelf:
    print(dict(shelf))
"""


def test_a_shelf_keeps_what_was_put_into_it_until_it_is_made_anew(host: Host) -> None:
    assert _both(host, SHELF) == "{'a': [1, 2]}\n{}\n{'b': 1}\n"


LINK = """
from pathlib import Path
import shutil
Path("a").write_text("a")
try:
    shutil.os.link("a", "b")
    print(Path("b").read_text())
except PermissionError as error:
    print("--work-dir" in str(error))
"""


def test_hard_links_are_made_or_their_error_names_what_is_missing(host: Host) -> None:
    assert host.admin.execute(LINK).stdout == "a\n"
    assert host.client.execute(LINK).stdout == ("a\n" if host.deletes else "True\n")


USERS = """
import getpass, os, pathlib
import grp, pwd
print(bool(getpass.getuser()), os.path.isdir(os.path.expanduser("~")), pathlib.Path.home() == pathlib.Path(os.environ["HOME"]))
try:
    print(pwd.getpwuid(os.getuid()).pw_dir == os.environ["HOME"], pwd.getpwnam("root").pw_uid, grp.getgrgid(os.getgid()).gr_name)
except KeyError:
    print("no entry")
"""


def test_users(host: Host) -> None:
    first, second = host.admin.execute(USERS).stdout.splitlines()
    assert first == "True True True"
    assert second == ("True 0 runner" if host.tree else "no entry")


POOL = """
from multiprocessing import Pool
def square(n):
    return n * n
if __name__ == "__main__":
    try:
        with Pool(2) as pool:
            print(pool.map(square, [1, 2, 3]))
    except OSError as error:
        print(type(error).__name__)
"""


def test_pools_of_processes(host: Host) -> None:
    result = host.admin.execute(POOL)
    assert (result.stdout == "[1, 4, 9]\n") == host.tree, result
    bare = host.admin.execute("from multiprocessing import Pool\nPool(2).close()")
    assert (
        bare.success if host.tree else "a file tree of their own" in str(bare.document["execution_details"].get("hint"))
    )


NO_PROCESS = (
    "from concurrent.futures import ProcessPoolExecutor\nProcessPoolExecutor().submit(len, '')",
    "import asyncio\nasyncio.run(asyncio.create_subprocess_exec('ls'))",
)


@pytest.mark.parametrize("code", NO_PROCESS)
def test_a_public_script_that_starts_processes_is_told_what_to_use(host: Host, code: str) -> None:
    result = host.client.execute(code)
    assert result.exit_code == 1 and "use ThreadPoolExecutor" in str(
        result.document["execution_details"].get("hint")
    ), result.stderr


FILL_BY_DELETING = """
import numpy, time
from pathlib import Path
held, refused = [], 0
for n in range(40):
    try:
        with open(str(n), "w+b") as file:
            for _ in range(8):
                file.write(bytes(1 << 20))
            file.flush()
            if %r:
                held.append(numpy.memmap(str(n)))
            else:
                held.append(open(str(n), "rb"))
        Path(str(n)).unlink()
    except OSError:
        refused += 1
print(len(held), refused)
time.sleep(1)
"""


@pytest.mark.parametrize("mapped", [False, True])
def test_deleted_files_take_no_more_than_what_bounds_them(host: Host, mapped: bool) -> None:
    """Of 320 MiB that a script writes, and deletes while they are open or mapped, more than the bound is never there."""
    bound = 64 << 20 if host.tree or not host.deletes else TMPFS_BYTES
    try:
        result = host.client.execute(FILL_BY_DELETING % mapped)
        held = int(result.stdout.split()[0])
        assert host.deletes and (held - 1) * (8 << 20) <= bound, result.stdout
    except ServiceError as error:
        # By the watch, where nothing is deleted, or by the guard of the tmpfs.
        details = error.document["error_details"]
        assert (details["type"], details["resource"]) == ("ResourceLimitError", "disk")
    await_that(lambda: host.client.execute("print(1)").success)


HINTS = {
    "deleting": 'Path("a").write_text("1"); Path("a").unlink()',
    "replacing": 'Path("a").write_text("1"); Path("b").write_text("2"); Path("a").replace("b")',
    "directory": 'Path("d").mkdir(); shutil.rmtree("d", ignore_errors=True); Path("d").mkdir()',
}


@pytest.mark.parametrize("what", HINTS)
def test_what_a_host_can_not_delete_has_a_hint(host: Host, what: str) -> None:
    result = host.client.execute("from pathlib import Path\nimport shutil\n%s\nprint(1)" % HINTS[what])
    assert result.success == host.deletes, result.stderr
    assert host.deletes or "a new name" in str(result.hint)


def test_a_path_of_the_runs_own_directory_is_a_name_in_it(host: Host) -> None:
    for own in ("Path(__file__).parent", "Path.cwd()", "Path('.').resolve()"):
        result = host.client.execute("from pathlib import Path\n(%s / 'data.csv').read_text()" % own)
        assert str(result.hint).startswith("Nothing was attached"), (own, result.hint)


def test_what_is_written_to_tmp_and_asked_for_has_a_hint(host: Host) -> None:
    code = "open('/tmp/x.png', 'w').write('1')"
    for more, words in (({"return_files": ["x.png"]}, "write 'x.png', by name alone"), ({}, "by name alone")):
        result = host.client.execute(code, **more)
        assert result.success == host.tree
        assert (words if host.tree else "Use the current directory") in str(result.hint)
