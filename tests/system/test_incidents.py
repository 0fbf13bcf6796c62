"""The incidents that others had, each with its test: those in the table of `incidents.py`, and here what else they earn."""

from __future__ import annotations

import ast
import os
import re
import stat
import time
from typing import Dict, Iterator, List, Set, Tuple

import pytest
from claims import ATTACKS
from corpus import SCRIPTS
from figures import record
from incidents import INCIDENTS
from servers import ADMIN_KEY
from support import ROOT, exchange, execute, parse_replies

from pyexec import config
from pyexec.client import ServiceError

TESTS = os.path.join(ROOT, "tests")


def _text(*path: str) -> str:
    with open(os.path.join(ROOT, *path), encoding="utf-8") as file:
        return file.read()


@pytest.mark.parametrize("incident", INCIDENTS)
def test_each_incident_has_tests_that_exist(incident: str) -> None:
    what, proofs = INCIDENTS[incident]
    assert what and proofs
    for proof in proofs:
        file, _, function = proof.partition("::")
        if function:
            names = {
                node.name for node in ast.walk(ast.parse(_text("tests", file))) if isinstance(node, ast.FunctionDef)
            }
            assert function in names, proof
        else:
            assert proof in ATTACKS, proof
    record("incidents of others with a test")


# -- files that the server touches ------------------------------------------------------------------------------------

PLANT = """
import os
target = %r
def plant(name, how):
    try:
        if os.path.lexists(name):
            os.unlink(name)
        how(name)
    except OSError as error:
        print(name, error.strerror)
for name in ('script.py', 'input.txt', 'symlink'):
    plant(name, lambda n: os.symlink(target, n))
plant('hardlink', lambda n: os.link(target, n))
plant('fifo', os.mkfifo)
plant('directory', os.mkdir)
plant('socket', lambda n: os.mknod(n, 0o140600))
plant('device', lambda n: os.mknod(n, 0o020600, os.makedev(1, 5)))
os.symlink('/etc', 'way')
os.symlink('directory', 'inner')
"""
PLANTED = "script.py input.txt symlink hardlink fifo directory socket device way/passwd inner/x".split()


def test_nothing_planted_is_followed(either_host, tmp_path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("the host's")
    outside.chmod(0o666)
    before = outside.stat()
    result = either_host.admin.execute(PLANT % str(outside), attachments={"input.txt": b"x"}, return_files=PLANTED)
    assert result.success and result.files == {} and set(result.file_errors) == set(PLANTED)
    assert all(error.endswith(".") and "the host's" not in error for error in result.file_errors.values())
    after = outside.stat()
    assert outside.read_text() == "the host's"
    assert (before.st_mode, before.st_uid, before.st_nlink) == (after.st_mode, after.st_uid, after.st_nlink)
    assert either_host.client.execute("print(1)").stdout == "1\n"


def test_removing_a_tree_changes_nothing_outside(either_host, tmp_path) -> None:
    shut = tmp_path / "shut"
    shut.mkdir()
    (shut / "kept").write_text("kept")
    shut.chmod(0o711)
    code = "import os\nfor n in range(20): os.symlink(%r, 'l%%d' %% n)\nos.mkdir('d'); os.symlink(%r, 'd/l'); os.fchmod(os.open('d', 0), 0)"
    try:
        either_host.admin.execute(code % (str(shut), str(shut)))
    except ServiceError as error:  # to a server that isn't root, a directory that hides what is in it is too much
        assert error.document["error_details"]["resource"] == "files"
    assert either_host.client.execute("print(1)").stdout == "1\n"
    assert stat.S_IMODE(shut.stat().st_mode) == 0o711 and (shut / "kept").read_text() == "kept"


def _nodes(*modules: str) -> Iterator[Tuple[str, ast.AST]]:
    for module in modules:
        text = _text("pyexec", module)
        yield from ((text, node) for node in ast.walk(ast.parse(text)))


def test_no_call_of_the_server_names_a_path_inside_a_run() -> None:
    """What the server does in a run's directory it does below a descriptor, entry by entry, never following a link."""
    by_name = {"open", "unlink", "rmdir", "rename", "mkdir", "stat", "chown", "chmod", "link", "symlink", "readlink"}
    # The base's own directory and the parent of it, which no run may write to.
    of_the_base = {"os.path.join(self._parent, name)", "self.path", "self._parent"}
    calls = 0
    for text, node in _nodes("runs/workdir.py", "runs/written.py", "runs/workdirs_on_disk.py"):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in by_name):
            continue
        if not (isinstance(node.func.value, ast.Name) and node.func.value.id == "os"):
            assert not (isinstance(node.func.value, ast.Name) and node.func.value.id == "shutil")
            continue
        calls += 1
        words = {keyword.arg for keyword in node.keywords}
        path = ast.get_source_segment(text, node.args[0])
        proc = isinstance(node.args[0], ast.BinOp) and "/proc/self/fd/" in str(path)
        assert words & {"dir_fd", "src_dir_fd"} or path in of_the_base or proc, path
        if node.func.attr == "open" and path not in of_the_base:
            flags = ast.get_source_segment(text, node.args[1]) or ""
            flags = flags.replace("workdir.", "").lstrip("_")
            assert "O_NOFOLLOW" in flags or flags in ("FILE", "DIRECTORY", "NEW"), flags
    assert calls >= 12
    for module in ("sandbox", "runs/pool", "api/routes", "server"):
        assert "shutil" not in _text("pyexec", module + ".py")


SPARSE = "f = open('sparse', 'wb')\nf.truncate(%s)\nf.close()"
TREES = {
    "a sparse file of a terabyte": "import os\ntry:\n    open('sparse', 'wb').truncate(1 << 40)\nexcept OSError as e:\n    print(e.strerror)",
    "a sparse file as large as may be": SPARSE % (64 << 20),
    "ten thousand files": "for n in range(10000):\n    open('n%d' % n, 'w').close()",
    "a tree a thousand deep": "import os\nfor _ in range(1000):\n    os.mkdir('d')\n    os.chdir('d')\nopen('f', 'w').close()",
    "names that are no UTF-8": "for n in range(1, 200):\n    open(b'\\xff\\xfe' + bytes([n]) * (n != 47), 'wb').close()",
    "modes that forbid everything": "import os\nos.mkdir('d', 0); open('f', 'w').close(); os.fchmod(os.open('f', 0), 0); os.fchmod(os.open('.', 0), 0)",
    "a directory without the right to enter": "import os\nos.mkdir('d'); open('d/f', 'w').close(); os.fchmod(os.open('d', 0), 0o600)",
    "long names with line ends": "import os\nfor n in range(50):\n    open('x\\n' * 120 + str(n), 'w').close()",
}


@pytest.mark.parametrize("tree", TREES)
def test_odd_trees_are_measured_collected_and_removed(either_host, tree) -> None:
    """Snekbox's list. Whatever a run leaves, the answer comes in time and the next run finds an empty directory."""
    names = ["sparse", "n1", "d", "d/d/d/d/d/f", "f", "d/f", "�"]
    started = time.monotonic()
    try:
        result = either_host.admin.execute(TREES[tree], return_files=names)
        assert set(result.files) | set(result.file_errors) == set(names)
        assert all(len(content) <= 8 << 20 for content in result.files.values())
    except ServiceError as error:
        details = error.document["error_details"]
        assert (error.type, details["resource"]) in (("ResourceLimitError", "files"), ("ResourceLimitError", "disk"))
    assert time.monotonic() - started < 10 + 20  # a run's limit, and a slow machine's grace; the point is that it ends
    look = "import os\nprint(os.listdir('.'))"
    for _ in range(3):
        assert either_host.admin.execute(look).stdout == "['script.py']\n"


# -- what a run finds --------------------------------------------------------------------------------------------------


def test_the_key_is_not_in_proc(server) -> None:
    """The seed's first hole: open("/proc/self/environ") in a public script printed it."""
    code = "for p in ('self', '1', %r):\n    try:\n        print(open('/proc/%%s/environ' %% p).read())\n    except OSError as e:\n        print('refused')"
    for caller in (server.client, server.admin):
        result = caller.execute(code % str(server.process.pid))
        assert result.stdout == "refused\n" * 3
    with open("/proc/%d/environ" % os.getpid(), "rb") as file:  # the control: such files hold an environment
        assert b"PATH=" in file.read()


def test_formats_show_no_secret(server) -> None:
    code = """
import random, json, sys, string
fields = ['__init__.__globals__', '__init__.__globals__[_os].environ', 'seed.__globals__', '__class__.__mro__']
for field in fields:
    print(('{0.%s}' % field).format(random.Random))
print('{0._os.environ}'.format(random), '%s' % random._os.environ, f'{random._os.environ!r}')
try:
    random.nothing
except AttributeError as error:
    print(getattr(error, 'obj', random).__dict__)
"""
    result = server.client.execute(code)
    assert result.success and "environ(" in result.stdout and "HOME" in result.stdout
    for word in (ADMIN_KEY, "PYTHON_EXE_KEY", ROOT, "PYEXEC_"):
        assert word not in result.stdout


def test_a_run_does_not_reach_its_own_server(server) -> None:
    raw = "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\nprint(libc.socket(2, %d, 0), ctypes.get_errno())"
    high = "import urllib.request\nurllib.request.urlopen(%r).read()" % (server.url + "/health")
    for kind in (1, 2, 3):
        assert server.admin.execute(raw % kind).stdout == "-1 1\n"
    result = server.admin.execute(high)
    assert not result.success and ("URLError" in result.stderr or "PermissionError" in result.stderr)
    assert server.client.health()["status"] == "ok"  # the control


def test_a_run_starts_in_its_directory_with_its_streams_only(server) -> None:
    code = """
import os
print(os.listdir('.'), [n for n in range(3, 256) if os.path.exists('/dev/fd/%d' % n)])
for n in range(3, 256):
    try:
        kind = os.fstat(n).st_mode & 0o170000
    except OSError:
        continue
    print(n, oct(kind))
for up in ('..', '../..', '../../..'):
    try:
        os.chdir(up)
        print(' '.join(sorted(os.listdir('.'))))
    except OSError:
        print('refused')
"""
    lines = server.admin.execute(code).stdout.splitlines()
    assert lines[0] in ("['script.py'] []", "['script.py'] [3]")  # the latter where there is a /dev/fd
    # Besides the streams the channel to the server, which programs that it starts don't inherit. Above its directory
    # are those that are its own as well (shm where it has a tree), and from there is no way up.
    assert lines[1] == "3 0o140000" and lines[2] in ("home shm tmp work", "home tmp work")
    assert lines[3:] == ["refused"] * 2
    child = "import os\nfor n in range(3, 256):\n    try: os.fstat(n)\n    except OSError: continue\n    print(n)"
    started = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', %r])" % child
    assert server.admin.execute(started).stdout == ""


WALK = """
found, waiting, seen = {}, [], set()
for name in input().split():
    try:
        waiting.append((name, __import__(name)))
    except ImportError:
        continue
def kind(value):
    return getattr(value, '__name__', '') if type(value).__name__ == 'module' else ''
while waiting:
    path, module = waiting.pop(0)
    if id(module) in seen or path.count('.') > 2:
        continue
    seen.add(id(module))
    for name, value in list(vars(module).items()):
        if kind(value) in ('os', 'sys', 'subprocess', 'ctypes', 'posix', 'importlib'):
            found.setdefault(kind(value), path + '.' + name)
            if kind(value) == 'os':
                try:
                    value.open('/proc/self/status', 0)
                    print('READ', path)
                except OSError as error:
                    print('refused')
                try:
                    value.execv('/bin/true', ['true'])
                except OSError as error:
                    print('refused')
        elif kind(value):
            waiting.append((path + '.' + name, value))
print(sorted(found))
"""


def test_allowed_modules_lead_to_os_and_that_is_harmless(server) -> None:
    result = server.client.execute(WALK, stdin=" ".join(config.DEFAULT_MODULES))
    *tries, found = result.stdout.splitlines()
    assert result.success and set(tries) == {"refused"} and len(tries) >= 2, result
    assert {"os", "sys"} <= set(ast.literal_eval(found))  # the honest answer: yes, they do


# -- what the server is sent -------------------------------------------------------------------------------------------

SOURCES: Dict[str, str] = {
    "parentheses": "(" * 1000 + ")" * 1000,
    "brackets never closed": "[" * 1999,
    "signs": "-" * 1999 + "1",
    "nots": "not " * 490 + "1",
    "powers": "**".join("1" * 600),
    "digits": "x = " + "9" * 1990,
    "hexadecimal digits": "x = 0x" + "f" * 1990,
    "a constant to fold": "x = 'a' * 999999 * 999999",
    "a power to fold": "x = (9 ** 9 ** 5) ** 9",
    "lambdas": "lambda: " * 240 + "1",
    "attributes": "x" + ".a" * 900,
    "calls": "f" + "()" * 900,
    "subscripts": "x" + "[0]" * 600,
    "conditions": "1 if 1 else " * 160 + "1",
    "blocks": "".join(" " * n + "if 1:\n" for n in range(55)),
    "decorators": "@x\n" * 600 + "def f(): pass",
    "strings with fields": "f'" + "{1}" * 600 + "'",
    "fields within fields": "f'{1:" * 60 + "}'" * 60,
    "semicolons": ";" * 1999,
    "an unknown encoding": "# coding: nonsense\nprint(1)",
    "UTF-7": "# coding: utf-7\n+AHAAcgBpAG4AdA-(1)",
    "another encoding": "# coding: utf-16\nprint(1)",
    "form feeds": "\f" * 1999,
    "tabs and spaces": "if 1:\n\tx=1\n        y=2",
    "a backslash at the end": "x = 1\\",
    "an open string": "'''" + "x" * 1990,
    "line ends of all kinds": "a=1\r\nb=2\rc=3\n\x0b",
    "the largest character": "print('\U0010ffff')",
    "combining characters": "e" + "\u0301" * 1900 + " = 1",
    "right to left": "print('\u202e)(tnirp')",
    "names": "; ".join("v%d = %d" % (n, n) for n in range(180)),
}


@pytest.mark.parametrize("name", SOURCES)
def test_hostile_sources_hurt_nobody(server, name) -> None:
    """They are parsed and compiled in the run's own process only; the server answers as for any script that fails."""
    for caller in (server.client, server.admin):
        try:
            result = caller.execute(SOURCES[name])
        except ServiceError as error:
            assert error.type in ("TimeoutError", "ResourceLimitError"), name
        else:
            assert result.exit_code in (0, 1, -9, -11, -6), result  # -11: CPython's own stack, in its own process
            assert ROOT not in result.stderr
    assert server.process.poll() is None
    assert server.client.execute("print(1)").stdout == "1\n"


def test_a_fresh_forwarded_address_is_not_a_fresh_caller(start_server) -> None:
    running = start_server(trusted_proxies="", rate_per_minute=3, rate_per_day=100)
    statuses: List[int] = []
    for place in range(6):
        statuses.append(_status_as(running.port, "203.0.113.%d" % place))
    assert statuses == [200] * 3 + [429] * 3
    # Behind a proxy that is trusted it's the last untrusted address that counts, not what a client writes before it.
    behind = start_server(rate_per_minute=3, rate_per_day=100)
    assert [_status_as(behind.port, "203.0.113.%d, 198.51.100.7" % n) for n in range(6)] == [200] * 3 + [429] * 3


def _status_as(port: int, forwarded: str) -> int:

    (reply,) = parse_replies(
        exchange(port, execute({"code": "pass"}, ("X-Forwarded-For", forwarded)), answers=1), ["POST"]
    )
    return reply.status


def test_an_empty_list_of_modules_allows_none(start_server) -> None:
    running = start_server(modules="")
    with pytest.raises(ServiceError) as caught:
        running.client.execute("import math")
    assert caught.value.type == "ForbiddenImportError"
    assert running.client.execute("print(1)").stdout == "1\n"


# -- what the project says ---------------------------------------------------------------------------------------------


def test_nothing_calls_the_list_of_modules_a_boundary() -> None:
    assert "**It is not the boundary.**" in _text("README.md")
    assert "The list of importable modules is not part of this promise." in _text("SECURITY.md")
    assert re.search(r"[Pp]olicy, not a boundary", _text("pyexec", "child", "import_policy.py"))


def test_every_change_replays_the_escapes() -> None:
    for command in ("sh setup.sh check", "sh tests/prove/user", "sh setup.sh prove"):
        assert "\n" + command in _text(".ci", "run")
    assert "sh setup.sh test" in _text("tests", "prove", "user")
    for each in ("user", "containers"):
        assert "test_escapes" not in _text("tests", "prove", each)  # neither named alone nor left out: the whole suite
    options = _text("setup.cfg")
    assert "testpaths = tests" in options and "--ignore=tests/system" not in options


def test_attacks_come_in_families() -> None:
    families: Dict[str, Set[str]] = {}
    for name in ATTACKS:
        families.setdefault(name.split("_")[0], set()).add(name)
    assert len(families["policy"]) >= 12 and len(families["i386"]) >= 3 and len(families["numpy"]) >= 4
    assert len([name for name in ATTACKS if "socket" in name]) >= 12
    assert len([name for name in ATTACKS if "namespace" in name]) >= 8


def test_the_corpus_has_the_syntax_of_each_python() -> None:
    syntax = {
        (3, 8): r":=",
        (3, 9): r"removeprefix|\) as \w+,|dict\[|list\[",
        (3, 10): r"^\s*match ",
        (3, 11): r"except\*",
        (3, 12): r"^type |def \w+\[",
    }
    for version, pattern in syntax.items():
        able = [script for script in SCRIPTS if script.python <= version]
        assert any(re.search(pattern, script.source.decode("utf-8", "replace"), re.MULTILINE) for script in able), (
            version
        )
