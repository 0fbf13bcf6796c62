"""Loading what the operator added: whatever a library does at its import, either it is harmless or it is named."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, Sequence

import pytest
from processes import SYS_NICE, has_capability
from support import ROOT

PROGRAM = """
import atexit, json, os, signal, sys, threading
directory, names, seconds = sys.argv[1:]
sys.path.insert(0, directory)
from pyexec.zygote import added
added.IMPORT_S, added._FORK_S = float(seconds), float(seconds) / 4
def announce(name):
    print(json.dumps({"announced": name}), flush=True)
def state():
    return signal.getsignal(signal.SIGTERM), dict(os.environ), os.getcwd(), os.getpriority(os.PRIO_PROCESS, 0)
before = state()
try:
    found = added.load(names.split(), announce, os.open("/proc", os.O_RDONLY))
    said = {"loaded": found.names, "failed": found.failed, "handlers": [handler.library for handler in found.handlers]}
except added.Offence as offence:
    said = {"offence": offence.name, "reason": offence.reason}
said["as_before"] = before == state()
print(json.dumps(said), flush=True)
os._exit(0)
"""

GOOD = "value = 1\n"
SPIN = "while True:\n    pass\n"


def load(directory: Path, libraries: Dict[str, str], names: Sequence[str] = (), seconds: float = 20) -> Dict[str, Any]:
    """Load libraries with these sources in a process; return its last words, its exit code and what it announced."""
    for name, source in libraries.items():
        path = directory / (name.replace(".", "/") + ".py")
        path.parent.mkdir(exist_ok=True)
        path.write_text(source)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(directory), " ".join(names or libraries), str(seconds)],
        cwd=ROOT,
        capture_output=True,
        timeout=60,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith(b"{")]
    last = lines[-1] if "announced" not in lines[-1] else {}
    announced = [line["announced"] for line in lines if "announced" in line]
    return dict(last, code=done.returncode, announced=announced, stderr=done.stderr.decode())


def test_each_name_is_announced_before_its_import(tmp_path: Path) -> None:
    found = load(tmp_path, {"a": GOOD, "b": GOOD})
    assert found["announced"] == ["a", "b"] and found["loaded"] == ["a", "b"] and found["failed"] == {}


def test_an_import_that_fails_leaves_out_what_is_below_it(tmp_path: Path) -> None:
    found = load(tmp_path, {"a": "import not_there\n", "b": GOOD}, ["a", "a.part", "b", "b.part"])
    assert found["loaded"] == ["b"]
    assert found["failed"]["a"] == "ModuleNotFoundError: No module named 'not_there'"
    assert list(found["failed"]) == ["a", "b.part"]
    assert found["announced"] == ["a", "b", "b.part"]


@pytest.mark.parametrize(
    "source, reason",
    [
        (
            "import threading, time\nthreading.Thread(target=time.sleep, args=(99,), daemon=True).start()\n",
            "threads (1)",
        ),
        ("import sys\nsys.exit(3)\n", "raises SystemExit: 3"),
        ("raise KeyboardInterrupt\n", "raises KeyboardInterrupt"),
        ("1 / 0\n", "raises ZeroDivisionError: division by zero"),
        ("taken = bytearray(2 << 30)\n", "needs more than 1 GiB of memory"),
        ("import os\nos.register_at_fork(after_in_child=lambda: os._exit(1))\n", "forked after its import doesn't run"),
        ("import os, time\nos.register_at_fork(after_in_child=lambda: time.sleep(99))\n", "doesn't run"),
        (
            "import os\nn = []\nos.register_at_fork(after_in_child=lambda: n and os._exit(1), before=lambda: n)\n"
            "os.register_at_fork(after_in_parent=lambda: n.append(1))\n",
            "doesn't run",
        ),
        ("import sys\nsys.addaudithook(lambda *_: 1 / 0)\n", "changes something that can't be put back: an audit hook"),
    ],
)
def test_an_offence_names_the_library_and_what_it_does(tmp_path: Path, source: str, reason: str) -> None:
    found = load(tmp_path, {"a": GOOD, "bad": source, "c": GOOD}, seconds=2)
    assert found["offence"] == "bad" and reason in found["reason"], found
    assert found["announced"] == ["a", "bad"]


@pytest.mark.parametrize(
    "source, code",
    [
        (SPIN, -signal.SIGALRM),
        (
            "import time\nwhile True:\n    try:\n        time.sleep(99)\n    except BaseException:\n        pass\n",
            -signal.SIGALRM,
        ),
        ("import os, time\nos.register_at_fork(before=lambda: time.sleep(99))\n", -signal.SIGALRM),
        ("import os\nos.abort()\n", -signal.SIGABRT),
        ("import os\nos._exit(7)\n", 7),
    ],
)
def test_of_what_crashes_or_hangs_the_announced_name_is_the_last(tmp_path: Path, source: str, code: int) -> None:
    found = load(tmp_path, {"a": GOOD, "bad": source, "c": GOOD}, seconds=1)
    assert (found["code"], found["announced"][-1]) == (code, "bad")


def test_a_thread_that_ends_soon_is_no_offence(tmp_path: Path) -> None:
    source = "import threading, time\nthreading.Thread(target=time.sleep, args=(0.05,)).start()\n"
    assert load(tmp_path, {"a": source})["loaded"] == ["a"]


@pytest.mark.parametrize(
    "source",
    [
        "import signal\nsignal.signal(signal.SIGTERM, lambda *_: None)\n",
        "import os\nos.environ['A'] = 'b'\nos.environ.pop('PATH')\n",
        "import os\nos.chdir('/')\n",
        "import sys\nsys.stdout = sys.stderr = sys.excepthook = None\n",
        "import sys\nsys.setrecursionlimit(50)\nimport os\nos.umask(0o777)\n",
    ],
)
def test_what_belongs_to_the_process_is_put_back(tmp_path: Path, source: str) -> None:
    found = load(tmp_path, {"a": source, "b": "import os\nassert os.umask(0o22) != 0o777\n"})
    assert found["as_before"] and found["loaded"] == ["a", "b"], found


FINDER = """
import enum, importlib.machinery, importlib.util, os, sys
class Finder:
    @staticmethod
    def find_spec(name, path, target=None):
        return importlib.machinery.ModuleSpec(name, Maker) if name == "made" else None
class Maker:
    create_module = staticmethod(lambda spec: None)
    exec_module = staticmethod(lambda module: None)
"""


@pytest.mark.parametrize(
    "source, check",
    [
        ("sys.path.clear()\n", ""),
        ("sys.path = ['/ahead', *sys.path[2:], '/behind']\n", "[sys.path[0], sys.path[-1]] == ['/ahead', '/behind']"),
        ("del sys.path\nsys.path_hooks = sys.meta_path = None\n", ""),
        ("sys.path_hooks.clear()\nsys.path_importer_cache.clear()\nimportlib.util.find_spec('none')\n", ""),
        ("sys.meta_path[:] = [Finder]\n", "__import__('made')"),
        ("sys.meta_path.insert(0, Finder)\nsys.path.pop()\n", "__import__('made')"),
        ("sys.path_hooks.append(Finder)\n", "len(sys.path_hooks) == 3"),
        ("sys.modules['made'] = Finder\ndel sys.modules['enum'], sys.modules['re']\nimport re", "__import__('made')"),
        ("sys.modules['enum'] = sys.modules['wave'] = None\n", "sys.modules.pop('wave') is None"),
        ("own = sys.modules[__name__]\nsys.modules.clear()\nsys.modules[__name__] = own\n", ""),
        ("sys.modules = dict(sys.modules)\nsys.path_importer_cache = None\n", ""),
        ("sys.modules[__name__] = Finder\n", "__import__('a').__name__ == 'Finder'"),
    ],
)
def test_what_every_import_goes_through_keeps_what_was_there_and_what_was_added(
    tmp_path: Path, source: str, check: str
) -> None:
    """Library `b` finds the same classes, a module of the standard library that nobody has imported, and itself."""
    before = "import enum, re, sys\nsys.kept = enum, re, [*sys.path]\n"
    after = "import enum, re, sys\nassert sys.kept[:2] == (enum, re) and {*sys.kept[2]} <= {*sys.path}\n"
    after += "assert %s\nimport wave\n" % (check or "True")
    found = load(tmp_path, {"first": before, "a": FINDER + source, "b": after})
    assert found["loaded"] == ["first", "a", "b"], found


def test_exit_handlers_are_for_runs_that_name_the_library(tmp_path: Path) -> None:
    """One that hangs must not hold the others; `register` works as ever once the library is loaded."""
    (tmp_path / "a.py").write_text(
        "import atexit\nfrom atexit import register\natexit.register(print, 'of a', flush=True)\n"
    )
    (tmp_path / "b.py").write_text("import atexit, time\natexit.register(time.sleep, 99)\n")
    program = (
        "import sys, os; sys.path.insert(0, %r)\n"
        "from pyexec.zygote import added\nfrom pyexec.child import libraries\n"
        "found = added.load(['a', 'b'], print, os.open('/proc', os.O_RDONLY))\n"
        "libraries.register_exit_handlers(found.handlers, 'import a')\n"
        "import a; a.register(print, 'later', flush=True)\n" % str(tmp_path)
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, timeout=50)
    assert done.stdout.decode().split("\n")[2:4] == ["later", "of a"]


def test_a_lower_priority_is_put_back_or_the_library_is_left_out(tmp_path: Path) -> None:
    found = load(tmp_path, {"a": "import os\nos.setpriority(os.PRIO_PROCESS, 0, 19)\n", "b": GOOD})
    if not has_capability(SYS_NICE) and os.getpriority(os.PRIO_PROCESS, 0) < 19:
        assert found["offence"] == "a" and "can't be put back" in found["reason"]
    else:
        assert found["as_before"] and found["loaded"] == ["a", "b"], found
