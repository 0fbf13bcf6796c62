"""The commands, as typed: run, doctor, serve; exit statuses and what they say."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from typing import Dict, Iterator, Optional

import pytest
from processes import await_that
from support import ROOT, ask, connect, execute, request

import pyexec
from pyexec.client import Client


def _pyexec(*arguments: str, stdin: bytes = b"", environment: Optional[Dict[str, str]] = None):
    clean = dict({"PYTHONPATH": ROOT, "PATH": os.environ["PATH"]}, **(environment or {}))
    return subprocess.run(
        [sys.executable, "-m", "pyexec", *arguments],
        input=stdin,
        capture_output=True,
        env=clean,
    )


# As pip writes it for the entry point in setup.cfg.
ENTRY = "import sys; from pyexec.__main__ import main; sys.argv[0] = '/usr/local/bin/pyexec'; sys.exit(main())"
WAYS = {"pyexec": ["-c", ENTRY], "python -m pyexec": ["-m", "pyexec"]}


def test_the_entry_point_is_the_one_that_is_tested_here() -> None:
    with open(os.path.join(ROOT, "setup.cfg"), encoding="utf-8") as file:
        assert "pyexec = pyexec.__main__:main\n" in file.read()


@pytest.mark.parametrize("name", WAYS)
def test_each_command_calls_itself_by_its_name(name: str) -> None:
    for flag, stream in (("--help", "stdout"), ("--no-such-flag", "stderr")):
        done = subprocess.run([sys.executable, *WAYS[name], flag], cwd=ROOT, capture_output=True, text=True)
        assert getattr(done, stream).startswith(
            "usage: %s [serve | run FILE | batch FILE | mcp | key NAME | doctor]" % name
        )


# -- independent of the locale ----------------------------------------------------------------------------------------

ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONPATH": ROOT}
WRITES = "open('\u20ac', 'w').write('10'); print('\u20ac')"
EMBEDDED = (
    "from pyexec import Attachment, Config, Job, Sandbox\n"
    "with Sandbox(Config.of(max_runs=1, uid_base=%d)) as sandbox:\n"
    "    job = Job('print(open(\\'\\u00f6\\').read()); ' + %%a, None, (Attachment('\\u00f6', b'in'),), ('\\u20ac',))\n"
    "    outcome = sandbox.run(job)\n"
    "    print(ascii((outcome.stdout, [(file.name, file.content) for file in outcome.files])))\n"
    % (40000000 + 10 * os.getpid())
)


def test_the_locale_of_these_tests_is_ascii() -> None:
    """The control: names that aren't ASCII can't be written by this Python itself."""
    code = "import sys; print(sys.getfilesystemencoding()); open('/tmp/\\u20ac')"
    done = subprocess.run([sys.executable, "-c", code], env=ASCII, capture_output=True, text=True)
    assert done.stdout == "ascii\n" and "UnicodeEncodeError" in done.stderr


@pytest.mark.parametrize("way", WAYS)
def test_a_server_in_any_locale_takes_any_key_and_name(way: str) -> None:
    environment = dict(ASCII, PYTHON_EXE_KEY="schl\u00fcssel".encode("utf-8").decode("latin-1"))
    raw = {os.fsencode(name): value.encode("latin-1") for name, value in environment.items()}
    command = [sys.executable, *WAYS[way], "--port", "0", "--uid-base", str(41000000 + 10 * os.getpid())]
    with subprocess.Popen(command, env=raw, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:
        try:
            assert process.stderr is not None
            for line in process.stderr:
                found = re.search(rb'serving on (http://[^\s"]+)', line)
                if found:
                    break
            assert found
            client = Client(found.group(1).decode(), "schl\u00fcssel")
            result = client.execute(WRITES, attachments={"\u00f6": b"in"}, return_files=["\u20ac", "\u00f6", "\u00e9"])
            assert result.stdout == "\u20ac\n" and result.files == {"\u20ac": b"10", "\u00f6": b"in"}
            assert result.file_errors.keys() == {"\u00e9"}
            assert client.execute("import os; print(os.listdir())").stdout == "['script.py']\n"  # as an admin
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()


@pytest.mark.parametrize("way", WAYS)
def test_run_in_any_locale(way: str, tmp_path) -> None:
    script = tmp_path / "\u20ac.py"
    script.write_text("print('\u20ac')", encoding="utf-8")
    done = subprocess.run([sys.executable, *WAYS[way], "run", str(script)], env=ASCII, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"\xe2\x82\xac\n", b"")


def test_a_sandbox_in_any_locale() -> None:
    done = subprocess.run([sys.executable, "-c", EMBEDDED % WRITES], env=ASCII, capture_output=True, text=True)
    assert done.stdout == ascii((b"in\n\xe2\x82\xac\n", [("\u20ac", b"10")])) + "\n", done.stderr


def test_a_work_dir_that_the_locale_cannot_write_is_refused_at_the_door() -> None:
    code = "from pyexec import Config; Config.of(work_dir='/tmp/\\u20ac')"
    done = subprocess.run([sys.executable, "-c", code], env=ASCII, capture_output=True, text=True)
    assert "ConfigError: work_dir='/tmp/\\u20ac' is not valid: the locale's encoding, ascii, can't write" in done.stderr


def test_version() -> None:
    assert _pyexec("--version").stdout.decode().strip() == "pyexec " + pyexec.__version__


def test_run_prints_what_the_script_prints(tmp_path) -> None:
    script = tmp_path / "a.py"
    script.write_text("import sys\nprint(input())\nprint('error', file=sys.stderr)\nsys.exit(3)\n")
    done = _pyexec("run", str(script), stdin=b"hello\n")
    assert (done.returncode, done.stdout, done.stderr) == (3, b"hello\n", b"error\n")


def test_run_reads_a_script_from_standard_input() -> None:
    assert _pyexec("run", "-", stdin=b"print(6 * 7)").stdout == b"42\n"


def test_run_names_the_byte_that_is_no_utf_8(tmp_path) -> None:
    script = tmp_path / "a.py"
    script.write_bytes(b"print(1)\n\xff")
    for done in (_pyexec("run", str(script)), _pyexec("run", "-", stdin=script.read_bytes())):
        assert (done.returncode, done.stdout) == (1, b"")
        assert done.stderr == b"pyexec: the script is not valid UTF-8 at byte 9; save it as UTF-8\n"


def test_a_port_that_is_taken_is_named_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = _pyexec("--port", str(port))
    assert done.returncode == 1 and b"Traceback" not in done.stderr
    assert b"127.0.0.1, port %d: Address already in use; set --host or --port" % port in done.stderr


def test_a_number_that_is_none_is_told_so_in_words() -> None:
    assert b"--port='abc' is not valid: must be a whole number." in _pyexec("--port", "abc").stderr
    assert b"--wall-s='' is not valid: must be a number." in _pyexec("--wall-s", "").stderr
    assert b"must be 1 to 1099511627776." in _pyexec("--memory-bytes", "0").stderr


def test_an_expected_layer_that_does_not_exist_is_told_from_one_that_is_off() -> None:
    done = _pyexec("doctor", "--expect-layers", "watches")
    assert done.returncode == 1 and b"watches (there is no such layer; see doctor)" in done.stderr


def test_wrong_usage_is_told_in_two_lines() -> None:
    assert len(_pyexec("run").stderr.splitlines()) == 2


def test_run_applies_the_import_rules_unless_admin() -> None:
    refused = _pyexec("run", "-", stdin=b"import os")
    assert refused.returncode == 1 and b"'os' is not allowed" in refused.stderr
    assert _pyexec("run", "--admin", "-", stdin=b"import os; print(os.path.basename('/a/b'))").stdout == b"b\n"


def test_run_gives_signals_as_a_shell_does() -> None:
    assert _pyexec("run", "--admin", "-", stdin=b"import os; os.kill(os.getpid(), 15)").returncode == 143


def test_run_ends_a_script_in_time() -> None:
    done = _pyexec("run", "--wall-s", "0.3", "-", stdin=b"print('so far')\nwhile True: pass")
    assert (done.returncode, done.stdout) == (1, b"so far\n") and b"time limit of 0.3 seconds" in done.stderr


@pytest.mark.parametrize("arguments", [["--wal-s", "5"], ["--wal-s=5"], ["run", "-", "--wal-s", "5"]])
def test_a_flag_that_does_not_exist_is_named(arguments) -> None:
    done = _pyexec(*arguments)
    assert done.returncode == 2 and done.stderr.endswith(b"error: unrecognized arguments: --wal-s\n")


@pytest.mark.parametrize("arguments", [["run"], ["serve", "x"], ["doctor", "x"], ["nonsense"], ["--no-such-flag"]])
def test_wrong_usage_is_2(arguments) -> None:
    done = _pyexec(*arguments)
    assert done.returncode == 2 and b"usage:" in done.stderr


@pytest.mark.parametrize(
    "arguments,environment,says",
    [
        (["--port", "x"], {}, "--port='x' is not valid"),
        ([], {"PYEXEC_PROT": "5"}, "no setting PYEXEC_PROT"),
        ([], {"PYEXEC_PORT": ""}, "PYEXEC_PORT='' is not valid"),
        ([], {"PORT": "http"}, "PORT='http' is not valid"),
    ],
)
def test_wrong_settings_are_2_and_named(arguments, environment, says) -> None:
    done = _pyexec(*arguments, environment=environment)
    assert done.returncode == 2 and says in done.stderr.decode()
    assert b"Traceback" not in done.stderr


def test_missing_script_is_said_plainly() -> None:
    done = _pyexec("run", "/nonexistent.py")
    assert done.returncode == 1 and b"No such file" in done.stderr and b"Traceback" not in done.stderr


def test_address_in_use_is_said_plainly(server) -> None:
    done = _pyexec("--port", str(server.port))
    assert done.returncode == 1 and b"in use" in done.stderr and b"Traceback" not in done.stderr


def test_help_names_every_setting() -> None:
    from pyexec.config import SETTINGS

    text = _pyexec("--help").stdout.decode()
    for setting in SETTINGS:
        assert setting.flag in text and setting.variable in text


def test_standard_streams_may_be_closed(tmp_path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import sys\nprint(sys.stdin.read() == '')\n")
    for closed, said in (("<&-", b"True\n"), ("2>&-", b"True\n"), ("<&- >&- 2>&-", b"")):
        command = 'exec "$0" -m pyexec run "$1" </dev/null %s' % closed
        done = subprocess.run(["sh", "-c", command, sys.executable, str(script)], cwd=ROOT, stdout=subprocess.PIPE)
        assert (done.returncode, done.stdout) == (0, said), closed


# -- a server whose life goes wrong -----------------------------------------------------------------------------------


@pytest.fixture
def free_port() -> Iterator[int]:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    yield port


def _active_runs(port: int) -> Optional[int]:
    """Return how many scripts the server runs; None if nobody listens."""
    try:
        return int(ask(port, request("GET", "/health")).document["active_runs"])
    except ConnectionRefusedError:
        return None


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full", "<&- >&- 2>&-"])
def test_a_server_that_can_write_no_log_serves_and_ends_when_told(redirection: str, free_port: int) -> None:
    command = 'exec "$0" -m pyexec --port "$1" ' + redirection
    with subprocess.Popen(["sh", "-c", command, sys.executable, str(free_port)], cwd=ROOT) as process:
        try:
            await_that(lambda: _active_runs(free_port) == 0, what="the server answers")
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()


# Serves, but the named step of `serve`, which comes after its threads have started, fails.
FAILING = """
import sys
from pyexec import server
from pyexec.cli import main as cli
def fail(*_):
    raise %s
%s = fail
sys.exit(cli.main(["--port", "0"]))
"""


@pytest.mark.parametrize("step", ["server._announce", "server.signal.sigwait"])
@pytest.mark.parametrize("error, says", [("MemoryError()", b"MemoryError"), ("OSError(5, 'broken')", b"broken")])
def test_a_server_that_fails_after_it_began_to_accept_ends(step: str, error: str, says: bytes) -> None:
    done = subprocess.run([sys.executable, "-c", FAILING % (error, step)], cwd=ROOT, stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == 1 and says in done.stderr
    assert b"draining" not in done.stderr and b"stopped" not in done.stderr


def test_a_server_that_hangs_after_a_failure_ends_when_told(tmp_path) -> None:
    """The signals were blocked for `sigwait`, to which it no longer comes."""
    hanging = "import time\nserver.Sandbox.close = lambda self: (sys.stdout.write('hangs'), sys.stdout.flush(), time.sleep(600))"
    program = FAILING.replace("def fail", hanging + "\ndef fail") % ("MemoryError()", "server._announce")
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None and process.stdout.read(5) == b"hangs"
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == -signal.SIGTERM
        finally:
            process.kill()


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_a_server_that_drains(second: int, free_port: int) -> None:
    command = [sys.executable, "-m", "pyexec", "--port", str(free_port), "--wall-s", "600"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE) as process:
        try:
            await_that(lambda: _active_runs(free_port) == 0, what="the server answers")
            with connect(free_port) as sock:
                sock.sendall(execute({"code": "import time\ntime.sleep(600)"}))
                await_that(lambda: _active_runs(free_port) == 1, what="the script runs")
                process.send_signal(signal.SIGTERM)
                assert process.stderr is not None
                while b'"draining"' not in process.stderr.readline():
                    assert process.poll() is None
                process.send_signal(second)
                assert process.wait(60) == -second
        finally:
            process.kill()
