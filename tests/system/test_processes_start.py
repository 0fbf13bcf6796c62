"""How the server's and the runs' processes start: their encoding, their place in the scheduler, their clock."""

from __future__ import annotations

import os

import pytest
from processes import descendants


@pytest.mark.parametrize("locale", [{}, {"LC_ALL": "C"}, {"LC_ALL": "POSIX"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}])
def test_names_are_utf8_whatever_the_locale(start_server, locale) -> None:
    environment = dict({"PYTHONCOERCECLOCALE": "0", "LANG": ""}, **locale)
    running = start_server(environment=environment)
    result = running.client.execute(
        "print(open('\u00fc').read())\nopen('\u20ac', 'w').write('x')",
        attachments={"\u00fc": b"in"},
        return_files=["\u20ac", "\u00e9"],
    )
    assert (result.stdout, result.files) == ("in\n", {"\u20ac": b"x"})
    assert result.file_errors == {"\u00e9": "File not found after execution."}


def test_sessions_of_runs_yield_where_the_server_is_root(start_server) -> None:
    running = start_server()
    said = set()
    for pid in descendants(running.process.pid):
        try:
            with open("/proc/%d/autogroup" % pid, encoding="ascii") as file:
                said.add(file.read().rpartition("nice ")[2].strip())
        except OSError:
            return  # this kernel has no such groups, so that nothing is to be had
    may = os.geteuid() == 0 and not os.environ.get("HOST_KIND", "").startswith("container")
    assert not may or said == {""} or "5" in said


def test_no_core_is_made(start_server) -> None:
    assert start_server().admin.execute("import resource\nprint(resource.getrlimit(resource.RLIMIT_CORE))").stdout == (
        "(1, 1)\n"
    )


def test_programs_have_utc(start_server) -> None:
    running = start_server()
    code = "import subprocess\nprint(subprocess.run(['date', '+%Z'], env={}, capture_output=True, text=True).stdout)"
    if "mount_namespace" in running.client.health()["layers"]:
        assert running.admin.execute(code).stdout == "UTC\n\n"
