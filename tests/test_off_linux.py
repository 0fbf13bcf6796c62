"""Where this isn't Linux: each way to start says what is missing and what to do, and the client works.

Simulated: another `sys.platform`, without the modules and functions that such a system's Python doesn't have.
"""

from __future__ import annotations

import configparser
import os
import re
import subprocess
import sys

import pytest
from support import ROOT

from pyexec import off_linux

PRELUDE = """
import os, runpy, signal, sys
import http.client, ssl, urllib.request  # which on Linux don't load as Windows' do
ssl.enum_certificates = lambda store: []
sys.path.insert(0, %r)
class Hidden:
    names = ("resource", "fcntl", "pwd", "grp", "termios", "syslog")
    def find_spec(self, name, path=None, target=None):
        if name in self.names:
            raise ModuleNotFoundError("No module named %%r" %% name)
sys.meta_path.insert(0, Hidden())
for name in Hidden.names:
    sys.modules.pop(name, None)
for name in ("fork", "forkpty", "setsid", "setresuid", "setresgid", "memfd_create", "pidfd_open", "sched_getaffinity"):
    if hasattr(os, name):
        delattr(os, name)
del signal.pthread_sigmask
sys.platform = sys.argv[1]
del sys.argv[1]
""" % (ROOT,)


def _entry() -> str:
    """Return what pip makes of the entry point in setup.cfg, but for the first line."""
    parser = configparser.ConfigParser()
    parser.read(os.path.join(ROOT, "setup.cfg"), encoding="utf-8")
    name, _, target = parser["options.entry_points"]["console_scripts"].strip().partition(" = ")
    module, _, function = target.partition(":")
    return "import sys\nfrom %s import %s\nsys.argv[0] = %r\nsys.exit(%s())\n" % (module, function, name, function)


WAYS = {
    "pyexec": _entry(),
    "python -m pyexec": "runpy.run_module('pyexec', run_name='__main__', alter_sys=True)",
    "from pyexec import Sandbox": "from pyexec import Sandbox",
}
PLATFORMS = {"darwin": "macOS", "win32": "Windows", "freebsd14": "freebsd14"}


def _run(platform: str, code: str, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", PRELUDE + code, platform, *arguments]
    return subprocess.run(command, cwd="/", capture_output=True, text=True)


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("way", WAYS)
def test_each_way_says_what_is_missing_and_shows_the_container(way: str, platform: str) -> None:
    done = _run(platform, WAYS[way])
    assert done.returncode == 1 and done.stdout == ""
    sentence = "Running scripts needs Linux, whose kernel confines them; this is %s." % PLATFORMS[platform]
    assert sentence in done.stderr and off_linux.CONTAINER in done.stderr and "pyexec.client" in done.stderr
    if "import" in way:
        assert "\nImportError: " + sentence in done.stderr
    else:
        assert done.stderr.startswith("pyexec: " + sentence) and "Traceback" not in done.stderr


@pytest.mark.parametrize("way", WAYS)
def test_without_that_it_would_end_in_a_traceback(way: str) -> None:
    """The control: what is hidden is needed."""
    done = _run("linux", WAYS[way], "doctor")
    assert done.returncode == 1 and re.search(r"^(ModuleNotFound|Attribute)Error: ", done.stderr, re.MULTILINE)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_client_and_the_nouns_work(server, platform: str) -> None:
    code = (
        "from pyexec.client import Client\n"
        "from pyexec import Config, Job, ValidationError\n"
        "print(Config.of(wall_s=2).wall_s, Job('1').code, Client(sys.argv[1]).execute('print(6 * 7)').stdout, end='')"
    )
    done = _run(platform, code, server.url)
    assert (done.returncode, done.stdout, done.stderr) == (0, "2.0 1 42\n", "")


def test_the_container_is_started_as_everywhere_else() -> None:
    for name in ("README.md", "Containerfile"):
        with open(os.path.join(ROOT, name), encoding="utf-8") as file:
            assert off_linux.CONTAINER in file.read(), name


@pytest.mark.parametrize("way", ["pyexec", "python -m pyexec"])
def test_an_old_python_is_told_so(way: str) -> None:
    done = _run("linux", "sys.version_info, sys.version = (3, 6, 15), '3.6.15 (default)'\n" + WAYS[way])
    assert done.returncode == 1
    assert done.stderr == "pyexec: Python 3.8 or newer is needed; this is 3.6.15.\n"
