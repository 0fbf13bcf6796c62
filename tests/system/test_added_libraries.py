"""Libraries that an operator adds: loaded ahead as far as they can be, and none of them costs another script anything."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Dict, Iterator, List

import pytest
from processes import await_that
from servers import RunningServer
from support import ROOT
from wrappers import EITHER_HOST

# Each misbehaves at its import in one way.
BAD = {
    "thread_starter": "import threading, time\nthreading.Thread(target=time.sleep, args=(999,), daemon=True).start()\n",
    "exit_hanger": "import atexit, time\natexit.register(time.sleep, 999)\n",
    "signal_taker": "import signal\nfor name in ('SIGTERM', 'SIGINT', 'SIGALRM'):\n"
    "    signal.signal(getattr(signal, name), lambda *_: None)\n",
    "fork_hanger": "import os, time\nos.register_at_fork(after_in_child=lambda: time.sleep(999))\n",
    "crasher": "import os\nos.abort()\n",
    "glutton": "taken = bytearray(2 << 30)\n",
    "printer": "print('a word from the printer' * 3)\n",
    "leaver": "import os, sys\nos.chdir('/')\nos.environ['LEFT'] = '1'\nsys.stdout = None\n",
    "quitter": "import sys\nsys.exit('no')\n",
    "incomplete": "import not_installed_anywhere\n",
}
LEFT_OUT = {
    "thread_starter": "starts threads (1)",
    "fork_hanger": "a process forked after its import doesn't run",
    "crasher": "its import crashes, or takes longer",
    "glutton": "needs more than 1 GiB",
    "quitter": "its import raises SystemExit: no",
    "incomplete": "No module named 'not_installed_anywhere'",
}
GOOD = {
    "slow_good": "import time\ntime.sleep(0.3)\n__version__ = '1.2.3'\nvalue = 42\n",
    "exit_sayer": "import atexit\natexit.register(print, 'bye')\n",
    "good/__init__": "value = 1\n",
    "good/part": "loaded = True\n",
}
ALL = [*BAD, "slow_good", "exit_sayer", "good"]


def environment(directory: Path, libraries: Dict[str, str]) -> List[str]:
    """Make a virtual environment with these modules beside what we have; return what runs a server in it."""
    subprocess.check_call([sys.executable, "-m", "venv", "--without-pip", str(directory)])
    (packages,) = directory.glob("lib/python*/site-packages")
    for name, source in libraries.items():
        path = packages / (name + ".py")
        path.parent.mkdir(exist_ok=True)
        path.write_text(source)
    paths = {sysconfig.get_paths()[name] for name in ("purelib", "platlib")}
    (packages / "ours.pth").write_text("\n".join(sorted(paths)) + "\n")
    return ["sh", "-c", 'shift; exec "$0" "$@"', str(directory / "bin" / "python")]


@pytest.fixture(scope="module", params=sorted(EITHER_HOST))
def running(request: pytest.FixtureRequest) -> Iterator[RunningServer]:
    with tempfile.TemporaryDirectory(prefix="libraries-") as above:
        os.chmod(above, 0o755)
        python = environment(Path(above) / "venv", dict(BAD, **GOOD))
        limits = {"rate_per_minute": 100000, "rate_per_day": 100000, "max_runs": 3}
        modules = ",".join("+" + name for name in ALL)
        server = RunningServer(dict(limits, modules=modules, preload="good.part"), EITHER_HOST[request.param] + python)
        assert server.client.execute("print(1)").stdout == "1\n"  # served before anything is loaded
        await_that(lambda: "good" in server.client.health()["libraries"], 120)
        yield server
        assert server.stop() == 0, server.log


def test_what_can_be_is_loaded_ahead(running: RunningServer) -> None:
    libraries = running.client.health()["libraries"]
    assert libraries["slow_good"] == "1.2.3" and set(libraries) & set(LEFT_OUT) == set()
    result = running.client.execute("import slow_good, good\nprint(slow_good.value, good.part.loaded)")
    assert result.stdout == "42 True\n" and result.duration_s < 0.3  # its import takes longer


@pytest.mark.parametrize("name", LEFT_OUT)
def test_what_is_not_loaded_ahead_is_said_once_with_its_reason(running: RunningServer, name: str) -> None:
    entries = [json.loads(line) for line in running.log.splitlines() if line.startswith("{")]
    said = [entry["message"] for entry in entries if entry.get("message", "").startswith(name)]
    assert len(said) == 1 and LEFT_OUT[name] in said[0], running.log


@pytest.mark.parametrize(
    "code", ["print(1)", "import numpy\nprint(numpy.arange(2).max())", "import good\nprint(good.value)"]
)
def test_no_other_script_notices(running: RunningServer, code: str) -> None:
    for client in (running.client, running.admin):
        result = client.execute(code + "\nimport sys\nprint('LEFT' in vars(sys).get('x', {}))")
        assert (result.stdout, result.stderr, result.exit_code) == ("1\nFalse\n", "", 0)


def test_scripts_import_what_is_not_loaded_ahead_themselves(running: RunningServer) -> None:
    result = running.client.execute("import incomplete")
    assert result.stderr.splitlines()[-1] == "ModuleNotFoundError: No module named 'not_installed_anywhere'"
    assert running.client.execute("import quitter").stderr == "no\n"


def test_the_exit_handler_of_a_library_is_for_scripts_that_name_it(running: RunningServer) -> None:
    assert running.client.execute("import good").success
    code = "import exit_hanger, atexit, time\natexit.unregister(time.sleep)\nprint('let go')"
    assert running.admin.execute(code).stdout == "let go\n"


def test_a_library_may_be_named_in_an_attached_module(running: RunningServer) -> None:
    result = running.client.execute("import h\nprint(h.good.part)", attachments={"h.py": b"import good, exit_sayer"})
    assert result.stdout.startswith("<module 'good.part'") and result.stdout.endswith("\nbye\n"), result


def test_what_a_library_prints_is_in_the_log(running: RunningServer) -> None:
    assert running.log.count("a word from the printer" * 3) >= 1


def test_a_name_that_nothing_provides_is_an_error_at_start() -> None:
    command = [sys.executable, "-m", "pyexec", "doctor", "--modules", "+pandsa +also_nothing.sub +json.none"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    assert done.returncode == 1
    assert (
        b"Nothing provides 'pandsa', 'also_nothing.sub', 'json.none' of --modules: install it for Python" in done.stdout
    )


def test_doctor_says_what_is_not_loaded_ahead(tmp_path: Path) -> None:
    python = environment(tmp_path / "venv", {"bad": BAD["thread_starter"], "fine": "__version__ = '7'\n"})
    tmp_path.chmod(0o755)
    command = [*python, "python", "-m", "pyexec", "doctor", "--modules", "+bad +fine"]
    clean = dict(os.environ, PYTHONPATH=ROOT)
    output = subprocess.run(command, cwd="/", env=clean, stdout=subprocess.PIPE, timeout=120).stdout.decode()
    assert "fine 7" in output
    assert "Not loaded ahead: bad (starts threads (1), and a process with threads can't be forked safely)" in output
