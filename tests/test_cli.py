"""The commands, as typed: run, doctor, serve; exit statuses and what they say."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import Dict, Optional

import pytest
from conftest import ROOT

import pyexec


def _pyexec(*arguments: str, stdin: bytes = b"", environment: Optional[Dict[str, str]] = None):
    clean = dict({"PYTHONPATH": ROOT, "PATH": os.environ["PATH"]}, **(environment or {}))
    return subprocess.run(
        [sys.executable, "-m", "pyexec", *arguments],
        input=stdin,
        capture_output=True,
        env=clean,
    )


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
