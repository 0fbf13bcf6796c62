"""Libraries that an operator adds: loaded ahead as far as they can be, and none of them costs another script anything."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Dict, Iterator, List

import pytest
from processes import await_that, descendants
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
    "second_fork_dier": "import os\nforks = []\n"
    "os.register_at_fork(before=lambda: forks.append(1) or len(forks) > 1 and os._exit(3))\n",
}
# Each changes at its import something that all scripts share; and what a script finds where it has been put back.
CHANGES = {
    "warner": ("import warnings\nwarnings.simplefilter('error')\n", "import warnings\nwarnings.warn('w')\nprint(1)"),
    "shower": (
        "import warnings\nwarnings.showwarning = warnings.formatwarning = None\n",
        "import warnings\nwarnings.warn('w')\nprint(1)",
    ),
    "logger": (
        "import logging\nlogging.basicConfig(level=1)\nlogging.root.addHandler(None)\nlogging.disable()\n",
        "import logging\nlogging.info('no')\nprint(len(logging.root.handlers) or logging.root.manager.disable or 1)",
    ),
    "log_class_taker": (
        "import logging\nclass Odd(logging.Logger):\n    info = None\nlogging.setLoggerClass(Odd)\n"
        "logging.setLogRecordFactory(None)\n",
        "import logging\nlogging.getLogger('x').warning('w')\nprint(1)",
    ),
    "hook_taker": (
        "import sys, threading\nsys.unraisablehook = threading.excepthook = sys.breakpointhook = None\n",
        "import sys, threading\nprint(int(None not in (sys.unraisablehook, threading.excepthook, sys.breakpointhook)))",
    ),
    "tracer": (
        "import sys, threading\n"
        "def trace(frame, *_):\n    if frame.f_code.co_filename == 'script.py':\n        raise OSError('traced')\n"
        "threading.settrace(trace)\nthreading.setprofile(trace)\nsys.settrace(trace)\n",
        "import threading\nthread = threading.Thread(target=lambda: print(1))\nthread.start()\nthread.join()",
    ),
    "builtin_taker": (
        "import builtins\nfor name in ('print', 'len', 'next', 'ImportError', 'open', 'BaseException'):\n"
        "    setattr(builtins, name, None)\ndel builtins.sum\n",
        "print(sum([len('x')]))",
    ),
    "signal_blocker": (
        "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1, signal.SIGALRM, signal.SIGTERM])\n",
        "import signal\nprint(1 - len(signal.pthread_sigmask(signal.SIG_BLOCK, ())))",
    ),
    "nice_taker": ("import os\nos.nice(7)\n", "print(1)"),  # a script can't ask; `test_added.py` can
    "locale_taker": (
        "import locale\nlocale.setlocale(locale.LC_ALL, 'C')\n",
        "import locale\nprint(int(locale.setlocale(locale.LC_CTYPE).lower().endswith('utf-8')))",
    ),
    "number_taker": (
        "import decimal, gc, sys\ndecimal.getcontext().prec = decimal.DefaultContext.prec = 1\ngc.set_threshold(1)\n"
        "sys.setswitchinterval(9)\n",
        "import decimal, sys\nprint(int(decimal.getcontext().prec == 28 and sys.getswitchinterval() < 1))",
    ),
    "limit_taker": (
        "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))\n",
        "open('x', 'w').write('x')\nprint(1)",
    ),
    "path_taker": (
        "import sys\nsys.path.clear()\nsys.meta_path.clear()\nsys.path_hooks.clear()\n"
        "sys.path_importer_cache.clear()\n",
        "import wave\nprint(1)",
    ),
    "module_taker": (
        "import sys\ndel sys.modules['enum'], sys.modules['json']\nimport enum\nsys.modules['re'] = None\n",
        "import enum, json, re\nprint(int(isinstance(re.I, enum.Flag)))",
    ),
    "finder_adder": (
        "import sys\nsys.path.pop()\nsys.meta_path[:0] = [type('F', (), {'find_spec': lambda *_: None})]\n",
        "import sys, wave\nprint(sum(each.__name__ == 'F' for each in sys.meta_path if isinstance(each, type)))",
    ),
}
BAD.update({name: source for name, (source, _) in CHANGES.items()})
LEFT_OUT = {
    "thread_starter": "starts threads (1)",
    "fork_hanger": "a process forked after its import doesn't run",
    "crasher": "its import crashes, or takes longer",
    "glutton": "needs more than 1 GiB",
    "quitter": "its import raises SystemExit: no",
    "incomplete": "No module named 'not_installed_anywhere'",
    "second_fork_dier": "its import crashes, or takes longer",
}
if os.geteuid() and os.getpriority(os.PRIO_PROCESS, 0) < 13:
    LEFT_OUT["nice_taker"] = "changes something that can't be put back"  # only root gets a lower nice value back
GOOD = {
    "slow_good": "import time\ntime.sleep(1)\n__version__ = '1.2.3'\nvalue = 42\n",
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
    assert result.stdout == "42 True\n" and result.duration_s < 1  # its import takes longer


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


@pytest.mark.parametrize("name", CHANGES)
def test_what_a_library_changes_is_as_before_in_other_scripts(running: RunningServer, name: str) -> None:
    result = running.admin.execute("import good\n" + CHANGES[name][1])  # in a child of the process that loaded them
    assert (result.stdout, result.exit_code) == ("1\n", 0), result.stderr


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


@pytest.fixture
def open_path() -> Iterator[Path]:
    """A directory that runs of another uid may pass through, as they may not through pytest's own."""
    with tempfile.TemporaryDirectory(prefix="open-") as path:
        os.chmod(path, 0o755)
        yield Path(path)


def test_doctor_says_what_is_not_loaded_ahead(open_path: Path) -> None:
    python = environment(open_path / "venv", {"bad": BAD["thread_starter"], "fine": "__version__ = '7'\n"})
    command = [*python, "python", "-m", "pyexec", "doctor", "--modules", "+bad +fine"]
    clean = dict(os.environ, PYTHONPATH=ROOT)
    output = subprocess.run(command, cwd="/", env=clean, stdout=subprocess.PIPE, timeout=120).stdout.decode()
    assert "fine 7" in output
    assert "Not loaded ahead: bad (starts threads (1), and a process with threads can't be forked safely)" in output


HURRIED = """
import sys
from pyexec.cli import main as cli
from pyexec.runs import zygote_handles
zygote_handles._IMPORT_S, zygote_handles._KILLED_S = 4.0, 1.0
sys.exit(cli.main(sys.argv[4:]))
"""
HANGS = "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\nwhile True:\n    pass\n"


def _blocks_everything(pid: int) -> bool:
    try:
        fields = dict(line.split(":\t", 1) for line in Path("/proc/%d/status" % pid).read_text().splitlines())
    except OSError:  # it has ended meanwhile
        return False
    return bool(int(fields["SigBlk"], 16) >> (signal.SIGRTMIN + 1) & 1)


def test_one_that_hangs_past_every_signal_is_killed_and_the_others_are_loaded(open_path: Path) -> None:
    python = environment(open_path / "venv", {"hanging": HANGS, "fine": "__version__ = '7'\n"})[-1]
    running = RunningServer({"rate_per_minute": 1000, "modules": "+hanging,+fine"}, [python, "-c", HURRIED])
    try:
        await_that(lambda: any(map(_blocks_everything, descendants(running.process.pid))), 60)
        await_that(lambda: running.client.health()["libraries"].get("fine") == "7", 60)
        assert running.log.count("hanging is not loaded ahead") == 1
        assert "(its import crashes, or takes longer than 4 s)" in running.log
        await_that(lambda: not any(map(_blocks_everything, descendants(running.process.pid))))
    finally:
        assert running.stop() == 0, running.log


def test_one_whose_process_does_not_stay_alive_is_given_up(open_path: Path) -> None:
    """It passes every check, and then ends the process that forks for all that were added."""
    source = (
        "import os\nforks = []\nos.register_at_fork(before=lambda: forks.append(1) or len(forks) > 4 and os._exit(3))\n"
    )
    python = environment(open_path / "venv", {"late": source})
    running = RunningServer({"rate_per_minute": 1000, "modules": "+late"}, python)
    try:
        await_that(lambda: "is given up" in running.log, 120)
        assert "late not loaded ahead of the runs (the process that had it loaded ended again and again" in running.log
        assert running.log.count("the added zygote ended unexpectedly") == 3
        for client in (running.client, running.admin):
            assert client.execute("print('late')").stdout == "late\n"
        assert "late" not in running.client.health()["libraries"]
    finally:
        assert running.stop() == 0, running.log
