"""The hints: one test for each rule, from what Python itself writes to stderr, and that none is slow or misleads."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from typing import Any, Dict, List, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyexec import errors
from pyexec.api import hint_rules, hints
from pyexec.api.hint_scene import TAIL, Names
from pyexec.config import Config
from pyexec.job import ENDED, TIMEOUT, Attachment, Job, Outcome, OutputFile, WrittenFile

CONFIG = Config.of()
LIBRARIES = ("numpy", "PIL")


def of(code: str, stderr: bytes = b"", exit_code: int = 1, **more: Any) -> Optional[str]:
    """Return the hint for a script that ended so."""
    job = Job(code, **{name: more.pop(name) for name in ("stdin", "attachments", "admin") if name in more})
    config = more.pop("config", CONFIG)
    return hints.for_run(job, Outcome(ENDED, exit_code, 0.1, stderr=stderr, **more), config, LIBRARIES)


def of_python(tmp_path: Any, code: str, **more: Any) -> Optional[str]:
    """Return the hint for what plain Python makes of a script."""
    (tmp_path / "script.py").write_text(code, encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, input=more.get("stdin") or b"", stderr=subprocess.PIPE
    )
    assert ended.returncode, code
    # A run's traceback names the script alone.
    return of(code, ended.stderr.replace(str(tmp_path).encode() + b"/", b""), ended.returncode, **more)


MISTAKES = {
    "!pip install pandas\nprint(1)": "plain Python script",
    "print(1)\n%matplotlib inline\n": "plain Python script",
    "%%time\nprint(1)": "plain Python script",
    "pip install pandas": "Installed beside the standard library: numpy, PIL.",
    "x = 1\\nprint(x)": "escaped twice",
    'print(\\"hello\\")': "escaped twice",
    "if 1 &lt; 2:\n    print(1)": "'&lt;'",
    "a = 3\nb = 2\na &gt; b\n": "'&gt;'",
    "print(&quot;a&quot;)": "'&quot;'",
    ">>> print(1)\n1": "prompts",
    "```python\nprint(1)\n```": "code fences",
    "print(1)\n```": "code fences",
    "~~~\nprint(1)\n~~~": "code fences",
    "In [1]: print(1)": "'In [1]:'",
    "import asyncio\nasync def f():\n    return 1\nprint(await f())": "async def",
    "display(1)": "display()",
    "get_ipython().run_line_magic('time', '')": "get_ipython()",
    "print({'a': true})": "True",
    "x = null": "None",
    "name = input()": "no standard input: send the lines that it reads in 'stdin_data'",
    "import no_such_module": "Installed beside the standard library: numpy, PIL.",
    "open('input.csv')": "Nothing was attached",
    "open('/no/such/place/x.txt', 'w')": "write to the current directory",
    "raise MemoryError": "512 MiB of memory",
    "class _ArrayMemoryError(MemoryError): pass\nraise _ArrayMemoryError('Unable to allocate 7 GiB')": "512 MiB",
    "raise OSError(28, 'No space left on device')": "at most 64 MiB, and 1000 files",
    "raise OSError(27, 'File too large', 'big.bin')": "A file may have at most 64 MiB",
    "raise OSError(24, 'Too many open files', 'a')": "256 files open",
    'raise RuntimeError("can\'t start new thread")': "32 threads",
    "raise OSError(30, 'Read-only file system', '/usr/x')": "write to the current directory",
    "raise PermissionError(13, 'Permission denied', '/etc/x')": "write to the current directory",
    "import urllib.error\nraise urllib.error.URLError('x')": "no network",
    "import socket\nraise socket.gaierror(-3, 'Temporary failure in name resolution')": "no network",
    "Here is the code:\n```python\nprint(1)\n```\nIt prints 1.": "the text around them",
    "  ```\nprint(1)\n  ```": "code fences",
    "  !ls": "plain Python script",
    "files = !ls -l": "plain Python script",
    "x = %timeit 1": "plain Python script",
    "print?": "help(print)",
    "import math\n?math.sin": "help(math.sin)",
    "str.split??": "help(str.split)",
    "... x": "prompts",
    "... print(1)": "prompts",
    "open('out/r.csv', 'w')": "pathlib.Path('out').mkdir()",
    "open('data/in/r.csv')": "no directory 'data/in' in the script's directory",
    "from PIL import Image\nImage.new('L', (1, 1)).save('charts/a.png')": "pathlib.Path('charts').mkdir()",
    "from pathlib import Path\nPath('a/b').mkdir()": "mkdir(parents=True)",
    "import os\nos.mkdir('a/b')": "mkdir(parents=True)",
    "import argparse\np = argparse.ArgumentParser()\np.add_argument('file')\np.parse_args()": "sys.argv",
}


@pytest.mark.parametrize("code", sorted(MISTAKES))
def test_a_mistake_gets_its_advice(tmp_path: Any, code: str) -> None:
    hint = of_python(tmp_path, code)
    assert hint is not None and MISTAKES[code] in hint
    assert hint.endswith(".") and "\n" not in hint and len(hint) < 300


NO_MISTAKES = [
    "1 / 0",
    "x = 'a\nb'",
    "print('!pip install x'",
    "s = '&lt;' +",
    "a = 1 \\ + 2",
    "raise SystemExit(2)",
    "import sys\nprint('MemoryError is what I fear', file=sys.stderr)\nsys.exit(1)",
    "raise OSError(28)",
    "raise ValueError('[Errno 28] No space left on device')",
    "raise PermissionError(13, 'Permission denied', 'own.txt')",
    "raise EOFError('Compressed file ended before the end-of-stream marker was reached')",
    "raise RuntimeError('thread')",
    "raise NameError(\"name 'display_all' is not defined\")",
    "def f(:\n    '''>>> f()'''",
    "raise BlockingIOError(11, 'x')",
    "import subprocess\nsubprocess.run(['no-such-program'])",
    "import asyncio\nasyncio.run(asyncio.create_subprocess_exec('no-such-program'))",
    "import os\nos.remove('old.txt')",
    "import os\nos.rename('old.txt', 'new.txt')",
    "class DatabaseConnectionError(Exception): pass\nraise DatabaseConnectionError('the pool is closed')",
    "class ConnectionError(Exception): pass\nraise ConnectionError('no such node')",
    "class ConnectError(Exception): pass\nraise ConnectError('x')",
    "ready = !done",
    "x = 5 % % 2",
    "a = b ? 1 : 2",
    "def f(:\n    '''\n    ```\n    '''",
    "...  existing code ...",
    "s = 'a\nb?'",
]


@pytest.mark.parametrize("code", NO_MISTAKES)
def test_other_failures_get_none(tmp_path: Any, code: str) -> None:
    assert of_python(tmp_path, code) is None


def test_await_names_asyncio_only_where_it_may_be_imported(tmp_path: Any) -> None:
    code, config = "async def f(): pass\nawait f()", Config.of(modules=("math",))
    for hint, named in (
        (of_python(tmp_path, code, config=config), False),
        (of_python(tmp_path, code, config=config, admin=True), True),
        (of_python(tmp_path, code, config=Config.of(modules=("asyncio",))), True),
    ):
        assert hint is not None and ("asyncio.run" in hint) == named


def test_input_beyond_the_end_of_what_was_sent(tmp_path: Any) -> None:
    hint = of_python(tmp_path, "input()\ninput()", stdin=b"one\n")
    assert hint == "input() asked for more lines than 'stdin_data' has."


READS_NOTHING = [
    "import sys\nn = int(sys.stdin.readline())",
    "import sys\nx = float(sys.stdin.read().strip())",
    "import sys\nn, m = map(int, sys.stdin.readline().split())",
    "import sys\nprint(sys.stdin.read().split()[0])",
    "import sys\nprint(sys.stdin.read()[0])",
    "import sys\nprint(next(sys.stdin))",
    "import json, sys\njson.load(sys.stdin)",
    "import sys\ndata = sys.stdin.read().split()\nprint(1)\nn = int(data[0])",
    "import sys\ninput = sys.stdin.readline\nn = int(input())",
]


@pytest.mark.parametrize("code", READS_NOTHING)
def test_reading_where_there_is_no_standard_input(tmp_path: Any, code: str) -> None:
    assert of_python(tmp_path, code) == "The script read standard input, and there was none: send it in 'stdin_data'."
    stderr = b"  File \"script.py\", line 2\nValueError: invalid literal for int() with base 10: ''\n"
    assert of(code, stderr) is not None and of(code, stderr, stdin=b"\n") is None


@pytest.mark.parametrize(
    "code",
    ["import sys\nlines = sys.stdin.readlines()\n[][0]", "int('')", "import json\njson.loads('')", "next(iter(()))"],
)
def test_what_is_empty_for_another_reason(tmp_path: Any, code: str) -> None:
    assert of_python(tmp_path, code) is None


@pytest.mark.parametrize("code", ["import sys\nprint(sys.argv[1])", "from sys import argv\nscript, name = argv"])
def test_arguments_that_a_script_takes_itself(tmp_path: Any, code: str) -> None:
    assert "no command-line arguments" in str(of_python(tmp_path, code))


def test_a_file_that_is_not_there_beside_those_that_are(tmp_path: Any) -> None:
    hint = of_python(tmp_path, "open('b.csv')", attachments=(Attachment("a.csv", b""),))
    assert hint is not None and "(a.csv)" in hint


ON_A_DISK = "/tmp/pyexec-" + "1a" * 16 + "/" + "2b" * 16 + "/work/"
MISSING = "FileNotFoundError: [Errno 2] No such file or directory: '%s'\n"


@pytest.mark.parametrize(
    ("directory", "own_tree"),
    [("/run/box/work/", True), ("/mnt/data/", True), (ON_A_DISK, False), ("/var/lib" + ON_A_DISK, False)],
)
def test_the_scripts_own_directory_is_the_current_one_by_whatever_name(directory: str, own_tree: bool) -> None:
    for path, words in (("data.csv", "Nothing was attached"), ("in/data.csv", "There is no directory 'in'")):
        outcome = Outcome(ENDED, 1, 0.1, stderr=(MISSING % (directory + path)).encode())
        assert str(hints.for_run(Job("1"), outcome, CONFIG, own_tree=own_tree)).startswith(words)


REFUSED = "PermissionError: [Errno 1] %s is not possible on this server, whose --work-dir is on a disk (…): %s\n"


@pytest.mark.parametrize(
    ("what", "paths", "words"),
    [
        ("deleting", "PosixPath('a')", "Leave the file where it is"),
        ("deleting", "'out'", "Leave the file where it is"),
        ("replacing a file", "'a' -> 'b'", "write under a new name"),
        ("a hard link", "'a' -> 'b'", "shutil.copy"),
    ],
)
def test_where_nothing_can_be_deleted_a_script_is_told_what_it_can_do(what: str, paths: str, words: str) -> None:
    assert words in str(of("1", (REFUSED % (what, paths)).encode()))
    assert of("1", b"PermissionError: [Errno 1] Operation not permitted: 'a'\n") is None


def test_a_name_that_is_taken_since_nothing_was_deleted() -> None:
    code = "shutil.rmtree('out', ignore_errors=True)\nos.mkdir('out')"
    outcome = Outcome(ENDED, 1, 0.1, stderr=b"FileExistsError: [Errno 17] File exists: 'out'\n")
    assert "'out' is still there" in str(hints.for_run(Job(code), outcome, CONFIG, deletes=False))
    for job, deletes in ((Job(code), True), (Job(code, admin=True), False), (Job("os.mkdir('out')"), False)):
        assert hints.for_run(job, outcome, CONFIG, deletes=deletes) is None


def test_a_font_that_is_not_there(tmp_path: Any) -> None:
    pytest.importorskip("PIL")
    for code, words in (
        ("from PIL import ImageFont\nImageFont.truetype('no-such-font.ttf', 20)", "ImageFont.load_default(size)"),
        ("from reportlab.pdfbase.ttfonts import TTFont\nTTFont('A', 'no-such-font.ttf')", "'Helvetica'"),
        ("import fpdf\nfpdf.FPDF().add_font('A', fname='no-such-font.ttf')", "'Helvetica'"),
    ):
        said = str(of_python(tmp_path, code))
        assert words in said and "attach" in said, (code, said)
    assert of("1", b"OSError: cannot open resource\n") is None


def test_a_database_that_was_meant_to_be_attached(tmp_path: Any) -> None:
    code = "import sqlite3\nbase = sqlite3.connect('%s')\n%sbase.execute('select * from users')"
    assert "new and empty" in str(of_python(tmp_path, code % ("app.db", "")))
    assert of_python(tmp_path, code % (":memory:", "")) is None
    assert of_python(tmp_path, code % ("other.db", "base.execute('create table user (a)')\n")) is None
    assert of_python(tmp_path, code % ("third.db", ""), attachments=(Attachment("third.db", b""),)) is None


NOT_FOUND = "File not found after execution."


@pytest.mark.parametrize("exit_code", [0, 1])
@pytest.mark.parametrize("code", ["image.save('/tmp/x.png')", 'path = "../x.png"\nopen(path, "w")'])
def test_a_file_that_is_asked_for_and_written_elsewhere(code: str, exit_code: int) -> None:
    missing = (OutputFile("x.png", error=NOT_FOUND),)
    assert "write 'x.png', by name alone" in str(of(code, exit_code=exit_code, files=missing))
    for files in ((OutputFile("x.png", b"1"),), (OutputFile("y.png", error=NOT_FOUND),)):
        assert "by name alone" not in str(of(code, exit_code=exit_code, files=files))
    assert of("image.save('x.png')", exit_code=exit_code, files=missing) is None


@pytest.mark.parametrize(
    "code",
    [
        "open('/tmp/x.png', 'w').write('1')",
        'open("../x.png","wb")',
        "open('/tmp/out/x.png', mode='a')",
        "Path('/tmp/x.png').write_text('1')",
        "figure.savefig('/tmp/x.png')",
    ],
)
def test_a_file_that_is_written_elsewhere_and_never_named_again(code: str) -> None:
    for stdout in (b"", b"done\n"):
        assert "write 'x.png', by name alone" in str(of(code, exit_code=0, stdout=stdout))
    path = re.findall(r"""["']([./].*?x.png)""", code)[0]
    assert of(code + "\nprint(open('%s').read())" % path, exit_code=0, stdout=b"1\n") is None
    written = (WrittenFile("a.txt", 1),)
    assert of(code, exit_code=0, stdout=b"1\n", written=written) is None


def test_reading_elsewhere_is_not_writing() -> None:
    for code in ("open('/tmp/x.png')", "open('/tmp/x.png', 'rb')", "print('/tmp/x.png')", "open('x.png', 'w')"):
        assert of(code, exit_code=0, stdout=b"1\n") is None


def test_a_file_that_numpy_does_not_find_is_a_missing_file(tmp_path: Any) -> None:
    numpy = pytest.importorskip("numpy")
    assert numpy.__version__
    for path, words in (("data.csv", "Nothing was attached"), ("/content/data.csv", "none of your machine's files")):
        assert words in str(of_python(tmp_path, "import numpy\nnumpy.loadtxt('%s')" % path))


def test_the_names_are_those_of_the_callers_interface(tmp_path: Any) -> None:
    outcome = Outcome(ENDED, 1, 0.1, stderr=b"EOFError: EOF when reading a line\n")
    names = Names(stdin="stdin", attachments="files")
    assert "in stdin." in str(hints.for_run(Job("input()"), outcome, CONFIG, names=names))


@pytest.mark.parametrize("number", [1, 4, 6, 7, 8, 9, 11, 13, 14, 15, 24, 31, 34])
def test_a_crash_is_said_in_words(number: int) -> None:
    said = str(of("1", exit_code=-number))
    assert re.fullmatch(r"The script was ended by signal %d: [A-Za-z].*\." % number, said), said


def test_a_crash_after_the_recursion_limit_was_raised() -> None:
    assert "recursion" in str(of("import sys\nsys.setrecursionlimit(10**7)", exit_code=-11))
    assert of("1", exit_code=-2) is None  # by Ctrl-C, of which there is a traceback


@pytest.mark.parametrize(
    "code", ["import random\n", "from random import choice", "x = 1\nimport random, math", "import random as r"]
)
def test_an_attached_module_that_is_not_imported(code: str) -> None:
    attachments = (Attachment("random.py", b""),)
    for exit_code in (0, 1):
        assert "attached random.py was not imported" in str(of(code, exit_code=exit_code, attachments=attachments))
    assert "not imported" not in str(of(code, exit_code=0, attachments=(Attachment("solution.py", b""),)))
    assert "not imported" not in str(of("print('random')", exit_code=0, attachments=attachments))


def test_a_script_without_output_is_told_so() -> None:
    assert "printed nothing" in str(of("1 + 1", exit_code=0))
    assert of("1", exit_code=0, stdout=b"1\n") is None
    assert of("1", exit_code=0, value={"repr": "2"}) is None
    assert of("1", exit_code=0, files=(OutputFile("a", b"1"),)) is None
    assert of("1", b"a warning", exit_code=0) is None


def test_a_figure_of_plotly_that_is_shown_is_to_be_written() -> None:
    code = "import plotly.express as px\nfig = px.line(x=[1], y=[2])\nfig.show()"
    for stdout in (b"", b"done\n"):
        assert "fig.write_html('a.html')" in str(of(code, exit_code=0, stdout=stdout))
    assert of(code + "\nfig.write_html('a.html')", exit_code=0, stdout=b"1") is None
    assert of(code, exit_code=0, files=(OutputFile("figure-1.png", b"1"),)) is None
    assert of("import matplotlib.pyplot as plt  # not plotly\nplt.show()", exit_code=0, stdout=b"1") is None


def test_runs_that_the_service_ended_are_for_the_error_to_advise_on() -> None:
    assert hints.for_run(Job("1"), Outcome(TIMEOUT, -9, 10.0, stderr=b"MemoryError\n"), CONFIG) is None


def at_time_limit(code: str, line: int, **more: Any) -> Optional[str]:
    """Return the hint for a script that was in a line when its time was up."""
    error = {"type": "TimeoutError", "message": "", "line": line, "code": "", "frames": [{"line": line}]}
    return hints.for_run(Job(code, **more), Outcome(TIMEOUT, -9, 10.0, error=error), CONFIG)


def test_a_server_that_waits_until_its_time_is_up_is_told_that_it_can_not_listen() -> None:
    code = "server = await asyncio.start_server(f, '127.0.0.1', 8888)\nawait server.serve_forever()"
    assert "can't listen" in str(at_time_limit(code, 2))
    assert "can't listen" in str(hints.for_run(Job(code), Outcome(TIMEOUT, -9, 10.0), CONFIG))
    assert at_time_limit("while True: pass", 1) is None


ASKS = """
x = 1
while True:
    try:
        n = int(input())

    except EOFError:
        continue
    break
while x:
    x = x * 2
"""


def test_a_loop_that_asks_for_input_until_its_time_is_up() -> None:
    for line in range(3, 9):
        said = at_time_limit(ASKS, line)
        assert said is None if line == 6 else "There is no standard input" in str(said), line
        assert at_time_limit(ASKS, line, stdin=b"1") is None
    for line in (0, 1, 2, 10, 11, 99):
        assert at_time_limit(ASKS, line) is None, line
    inside = "def ask():\n    try:\n        return input()\n    except EOFError:\n        pass\nwhile True:\n    ask()"
    assert at_time_limit(inside, 3) is None


def test_a_server_of_asyncio_without_a_socket() -> None:
    code = "s = await asyncio.start_server(f, port=1)\nprint(s.sockets[0])"
    stderr = b'  File "script.py", line 2, in main\n    print(s.sockets[0])\nIndexError: tuple index out of range\n'
    assert "can't listen" in str(of(code, stderr))
    assert of("a\nb[0]", stderr) is None


OF_A_SOCKET = b"""Traceback (most recent call last):
  File "%s", line 452, in f
    g()
  File "socket.py", line 232, in __init__
    _socket.socket.__init__(self, family, type, proto, fileno)
PermissionError: [Errno 1] Operation not permitted
"""
OF_A_MANAGER = b"""Traceback (most recent call last):
  File "multiprocessing/managers.py", line 567, in start
    self._address = reader.recv()
  File "multiprocessing/connection.py", line 382, in _recv
    raise EOFError
EOFError
"""


def test_a_socket_is_explained_by_what_wanted_it() -> None:
    for file, code, words in (
        (b"socketserver.py", "HTTPServer(a, b)", "can't listen"),
        (b"script.py", "s.listen()", "can't listen"),
        (b"urllib/request.py", "urlopen(a)", "send the data"),
        (b"multiprocessing/forkserver.py", "get_context('forkserver')", "get_context('fork')"),
    ):
        assert words in str(of(code, OF_A_SOCKET % file, admin=True)), file


def test_a_manager_is_told_of_what_needs_no_sockets() -> None:
    assert "get_context('fork')" in str(of("Manager()", OF_A_MANAGER, admin=True))
    outcome = Outcome(ENDED, 1, 0.1, stderr=OF_A_MANAGER)
    assert "ThreadPoolExecutor" in str(hints.for_run(Job("Manager()", admin=True), outcome, CONFIG, own_tree=False))
    assert of("connection.recv()", OF_A_MANAGER.replace(b"managers", b"connection"), admin=True) is None


def test_a_limit_of_processor_time_that_a_script_set_itself() -> None:
    said = str(of("resource.setrlimit(resource.RLIMIT_CPU, (1, 1))", exit_code=-9))
    assert "a limit of processor time" in said and "sent by itself" not in said


def test_hints_of_errors() -> None:
    assert hints.for_error(errors.RateLimitExceeded("No.", 12)) == "Try again in 12 seconds."
    assert hints.for_error(errors.RateLimitExceeded("No.", 1)) == "Try again in 1 second."
    day = hints.for_error(errors.RateLimitExceeded("No.", 20000, "day"))
    assert day == "The count restarts at midnight UTC, in 5 hours 34 minutes."
    assert "in 30 minutes" in str(hints.for_error(errors.RateLimitExceeded("No.", 1800, "day")))
    assert "Try again in 1 second" in str(hints.for_error(errors.ServerBusy("No.")))
    assert "loop" in str(hints.for_error(errors.RunTimeoutError(10)))
    for resource in ("memory", "cpu", "disk", "files", "output", "processes", "threads"):
        assert hints.for_error(errors.ResourceLimitError(resource, 5))
    assert hints.for_error(errors.NotFound("No.")) is None


TRACEBACK = b"""Traceback (most recent call last):
  File "script.py", line 2, in <module>
    %s
  File "/usr/lib/python3.11/multiprocessing/x.py", line 526, in f
    %s
    ^^^^^^^^^
PermissionError: [Errno %d] %s
"""


@pytest.mark.parametrize(
    "call",
    [
        b"self.pid = _fork_exec(",
        b"self.pid = _posixsubprocess.fork_exec(",
        b"pid = os.fork()",
    ],
)
def test_a_public_script_that_wants_a_process_is_told_of_threads(call: bytes) -> None:
    stderr = TRACEBACK % (b"ProcessPoolExecutor()", call, 1, b"Operation not permitted")
    assert "use ThreadPoolExecutor" in str(of("x", stderr))
    assert of("x", stderr, admin=True) is None
    assert of("x", stderr.replace(call, b"os.link(a, b)")) is None


def test_a_socket_that_can_not_be_made_is_a_network_that_is_not_there() -> None:
    stderr = TRACEBACK % (
        b"create_connection(('192.0.2.1', 80))",
        b"_socket.socket.__init__(self)",
        1,
        b"not permitted",
    )
    stderr = stderr.replace(b"/usr/lib/python3.11/multiprocessing/x.py", b"/usr/lib/python3.11/socket.py")
    assert "no network" in str(of("x", stderr, admin=True))
    assert of("x", stderr.replace(b"socket.py", b"other.py"), admin=True) is None


NATIVE_THREADS = (
    b"OpenBLAS blas_thread_init: pthread_create failed for thread 3 of 8: Resource temporarily unavailable\n",
    b"terminate called after throwing an instance of 'std::system_error'\n  what():  Resource temporarily unavailable\n",
    b'PanicException: could not spawn threads: Os { code: 11, message: "Resource temporarily unavailable" }\n',
)


@pytest.mark.parametrize("stderr", NATIVE_THREADS)
def test_native_code_that_starts_too_many_threads_is_told_how_many_there_may_be(stderr: bytes) -> None:
    assert "A run may have 32 threads beside its first" in str(of("x", stderr, exit_code=-6))
    assert of("x", b"BlockingIOError: [Errno 11] Resource temporarily unavailable\n") is None
    assert of("x", stderr, exit_code=-6, admin=True) != of("x", stderr, exit_code=-6)


def test_a_library_that_warns_of_threads_and_goes_on_is_not_to_blame() -> None:
    assert of("x", NATIVE_THREADS[0] + b"ValueError: no number\n") is None


def test_a_pool_without_a_tree_is_told_what_is_missing() -> None:
    stderr = TRACEBACK % (b"Pool(2)", b"sl = self._semlock = _multiprocessing.SemLock(", 13, b"Permission denied")
    assert "a file tree of their own" in str(of("x", stderr, admin=True))
    assert "use ThreadPoolExecutor" in str(of("x", stderr))


def test_an_admin_that_starts_too_many_processes_is_told_how_many_there_may_be() -> None:
    stderr = TRACEBACK % (b"os.fork()", b"os.fork()", 11, b"Resource temporarily unavailable")
    assert of("x", stderr.replace(b"PermissionError", b"BlockingIOError"), admin=True) == (
        f"A run may have {CONFIG.budget.processes} processes beside its first."
    )


def test_a_picture_that_could_not_be_shown_is_told_of() -> None:
    said = "Not every picture could be shown: out of memory."
    assert of("print(1)", exit_code=0, stdout=b"1\n", picture_troubles=("out of memory",)) == said
    assert of("import sys; sys.exit(1)", exit_code=1, picture_troubles=("out of memory",)) == said


OF_A_TREE = {
    "open('/tmp/x.txt')": "PermissionError: [Errno 13] Permission denied: '/tmp/x.txt'",
    "open('/mnt/data/x.txt')": "FileNotFoundError: [Errno 2] No such file or directory: '/mnt/data/x.txt'",
    "open('/dev/shm/x')": "PermissionError: [Errno 13] Permission denied: '/dev/shm/x'",
    "open('/etc/passwd')": "PermissionError: [Errno 13] Permission denied: '/etc/passwd'",
    "psutil.cpu_count()": "PermissionError: [Errno 13] Permission denied: '/proc/cpuinfo'",
    "duckdb.connect()": '_duckdb.IOException: IO Error: Cannot open file "/proc/self/cgroup": Permission denied',
    "pwd.getpwuid(os.getuid())": "KeyError: 'getpwuid(): uid not found: 64100'",
    "base.execute('PRAGMA journal_mode=WAL')": "sqlite3.OperationalError: disk I/O error",
}


@pytest.mark.parametrize("code", OF_A_TREE)
def test_where_runs_have_no_tree_the_missing_layer_is_named(code: str) -> None:
    stderr = f"Traceback (most recent call last):\n{OF_A_TREE[code]}\n".encode()
    outcome = Outcome(ENDED, 1, 0.1, stderr=stderr)
    for own_tree in (False, True):
        said = str(hints.for_run(Job(code), outcome, CONFIG, own_tree=own_tree))
        assert ("can't give runs a file tree of their own" in said) is not own_tree


def test_shared_memory_is_no_file_of_the_current_directory() -> None:
    stderr = TRACEBACK % (b"SharedMemory(create=True, size=9)", b"self._fd = _posixshmem.shm_open(", 13, b"denied")
    assert "Shared memory needs /dev/shm" in str(of("x", stderr, admin=True))


def test_every_rule_has_a_name_of_its_own() -> None:
    names = [rule.name for rule in hint_rules.RULES]
    assert len(names) == len(set(names))


# -- hostile text ------------------------------------------------------------------------------------------------------

_PIECES = [
    "\\",
    "'",
    '"',
    "!",
    "%",
    "`",
    ">>> ",
    "&lt;",
    "Error",
    ": ",
    "\n",
    "\r",
    "a.",
    "[Errno ",
    "]",
    "import ",
    "\0",
]
_PIECES += ['File "script.py", line ', "9" * 7, "SyntaxError", "\x85", "\ud800", "random", "1", " ", "é", "await"]
_PIECES += ["open('/tmp/", "x', 'w", "../", "/", "stdin", " = ", "while x:\n ", "except", "input(", "argv", ".sockets["]
_TEXT = st.lists(st.sampled_from(_PIECES), max_size=60).map("".join)


@given(_TEXT, _TEXT, st.integers(-64, 255), st.booleans())
def test_no_text_breaks_a_rule(code: str, stderr: str, exit_code: int, given_input: bool) -> None:
    code = code.replace("\0", "").replace("\ud800", "") or "1"
    more: Dict[str, Any] = {"stdin": b"x"} if given_input else {}
    found = of(
        code, stderr.encode("utf-8", "surrogatepass"), exit_code, attachments=(Attachment("random.py", b""),), **more
    )
    assert found is None or (found.endswith(".") and len(found) < 400)


def test_no_text_makes_a_rule_slow() -> None:
    """By the ratio of times, which a busy machine doesn't change much: eight times as much text, not 64 times the time."""
    lines = ['  File "script.py", line 1', "SyntaxError: unexpected character after line continuation character"]
    stderr = "\n".join(lines).encode()
    for piece in _PIECES + ["a" * 9, "import random\n"]:
        piece = piece.replace("\0", "x").replace("\ud800", "y")
        taken: List[float] = []
        for size in (1 << 14, 1 << 17):
            code = piece * (size // len(piece))
            best = 9.0
            for _ in range(3):
                start = time.process_time()
                of(code, stderr, attachments=(Attachment("random.py", b""),))
                best = min(best, time.process_time() - start)
            taken.append(best)
        assert taken[1] < 24 * taken[0] + 0.02, piece


def test_only_the_end_of_stderr_is_looked_at() -> None:
    stderr = b"EOFError: EOF when reading a line\n" + b"x" * TAIL
    assert of("input()", stderr) is None
    assert of("input()", b"x" * TAIL + b"\nEOFError: EOF when reading a line\n") is not None
