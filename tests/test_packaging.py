"""What gets installed: lock files in step with setup.cfg, and a setup.sh that removes only what it has made."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Dict, List, NamedTuple, Tuple

import pytest
from locks import LISTS, LOCKS, hosts, read, renew
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from support import ROOT


def _chosen(names: List[str], environment: Dict[str, str]) -> Dict[str, Version]:
    """Return what the lock files of these names install on a host; red if two of them disagree."""
    chosen: Dict[str, Version] = {}
    for name in names:
        for pin in LOCKS[name]:
            if pin.holds(environment):
                assert chosen.setdefault(pin.name, pin.version) == pin.version, (pin.name, environment)
    return chosen


@pytest.mark.parametrize("name", list(LISTS))
def test_a_lock_file_is_of_what_setup_cfg_says_now(name: str) -> None:
    assert read(name).startswith(renew.head(LISTS[name]))


@pytest.mark.parametrize("name", list(LISTS))
def test_every_requirement_is_pinned_within_its_range(name: str) -> None:
    for environment in hosts():
        chosen = _chosen([name], environment)
        for line in LISTS[name]:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate(environment):
                version = chosen[canonicalize_name(requirement.name)]
                assert requirement.specifier.contains(version), (line, version, environment)


def test_lock_files_agree_with_one_another() -> None:
    """So that one is installed on top of another without changing what it brought."""
    for environment in hosts():
        assert _chosen(list(LISTS), environment)


@pytest.mark.parametrize("name", list(LISTS))
def test_everything_has_hashes(name: str) -> None:
    for pin in LOCKS[name]:
        assert pin.hashes and all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", item) for item in pin.hashes), pin
        assert len(set(pin.hashes)) == len(pin.hashes)


@pytest.mark.parametrize("name", ["setup.sh", "Containerfile", "tests/prove/containers"])
def test_nothing_is_installed_without_hashes(name: str) -> None:
    with open(os.path.join(ROOT, name), encoding="utf-8") as file:
        commands = re.sub(r"\\\n", " ", file.read()).splitlines()
    commands = [re.split(r"&&|\|\|", line) for line in commands if not line.lstrip().startswith("#")]
    installs = [part for line in commands for part in line if re.search(r"pip\S* (install|wheel|download)\b", part)]
    assert installs
    for part in installs:
        hashed = "--require-hashes" in part and "--only-binary :all:" in part and "-r " in part
        assert hashed or ("--no-index" in part and "--no-deps" in part), part


# ---- The environment that setup.sh makes ----

# Stands for an interpreter: `-m venv` copies it, and what pip is asked for is written down.
INTERPRETER = """#!/bin/sh
echo "$@" >>"%s"
if [ "$1 $2" = "-m venv" ]; then
    mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && touch "$3/pyvenv.cfg"
fi
"""


class Setup(NamedTuple):
    """One place for an environment, and what setup.sh did there."""

    venv: str
    python: str
    calls: str

    def run(self, *arguments: str) -> Tuple[int, str]:
        """Run setup.sh and return its status and what it said."""
        environment = dict(os.environ, VENV=self.venv, PYTHON=self.python)
        environment.pop("LOCKS", None)  # what `make prove` asks for, which may have started us
        done = subprocess.run(
            ["sh", os.path.join(ROOT, "setup.sh")] + list(arguments),
            env=environment,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        return done.returncode, done.stdout.decode("utf-8")

    def called(self) -> List[str]:
        """Return what the interpreter was asked for."""
        with open(self.calls, encoding="utf-8") as file:
            return file.read().splitlines()


@pytest.fixture
def setup(tmp_path) -> Setup:
    found = Setup(str(tmp_path / "venv"), str(tmp_path / "python"), str(tmp_path / "calls"))
    with open(found.python, "w", encoding="utf-8") as file:
        file.write(INTERPRETER % found.calls)
    os.chmod(found.python, 0o755)
    return found


def _contents(path: str) -> List[str]:
    return sorted(os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names)


def test_an_environment_is_made_once(setup: Setup) -> None:
    assert setup.run("serve", "--port", "0")[0] == 0
    first = setup.called()
    installed = [call for call in first if call.startswith("-m pip install")]
    assert len(installed) == 1 and installed[0].endswith(
        "--require-hashes --only-binary :all: -r requirements/runtime.txt"
    )
    assert "-m venv " + setup.venv in first and first[-1] == "-m pyexec --port 0"
    assert setup.run("serve")[0] == 0
    assert setup.called()[len(first) :] == ["-c import pip", "-m pyexec"]


@pytest.mark.parametrize(
    "command, locks", [("serve", ["runtime"]), ("bench", ["runtime"]), ("test", ["runtime", "test"])]
)
def test_commands_install_what_they_need(setup: Setup, command: str, locks: List[str]) -> None:
    setup.run(command)
    assert [call.split("/")[-1] for call in setup.called() if " install " in call] == [name + ".txt" for name in locks]


# As INTERPRETER, with a pip of this version until a newer one is installed.
WITH_PIP = (
    INTERPRETER
    + """
case "$2" in
*pip.__version__*)
    if grep -q "requirements/pip.txt" "%s"; then version=25.0.1; else version=%s; fi
    exec "%s" -c "import sys, types; sys.modules['pip'] = types.SimpleNamespace(__version__='$version'); $2"
    ;;
esac
"""
)


@pytest.mark.parametrize("version, first", [("19.2.3", ["pip"]), ("20.2.4", ["pip"]), ("20.3.4", []), ("26.3", [])])
def test_a_pip_too_old_for_wheels_is_replaced_first(setup: Setup, version: str, first: List[str]) -> None:
    with open(setup.python, "w", encoding="utf-8") as file:
        file.write(WITH_PIP % (setup.calls, setup.calls, version, sys.executable))
    assert setup.run("test")[0] == 0
    installs = [call for call in setup.called() if " install " in call]
    assert [call.split("/")[-1] for call in installs] == [name + ".txt" for name in first + ["runtime", "test"]]
    assert all("--require-hashes" in call for call in installs)


@pytest.mark.parametrize("kind", ["directory", "venv without pip", "mark alone of another kind", "file", "link"])
def test_what_setup_did_not_make_stays(setup: Setup, kind: str) -> None:
    if kind == "file":
        with open(setup.venv, "w", encoding="utf-8") as file:
            file.write("precious")
    elif kind == "link":
        os.symlink("/nowhere", setup.venv)
    else:
        os.mkdir(setup.venv)
        name = {"venv without pip": "pyvenv.cfg", "directory": "precious"}.get(kind, "installed")
        with open(os.path.join(setup.venv, name), "w", encoding="utf-8") as file:
            file.write("precious")
    before = _contents(setup.venv), os.lstat(setup.venv)
    status, said = setup.run("serve")
    assert status == 1 and setup.venv + " is in the way" in said and "VENV=" in said
    assert _contents(setup.venv) == before[0] and os.lstat(setup.venv).st_ino == before[1].st_ino
    assert not os.path.exists(setup.calls) or not [call for call in setup.called() if " venv " in call]


def test_an_empty_directory_is_used(setup: Setup) -> None:
    os.mkdir(setup.venv)
    assert setup.run("serve")[0] == 0


def test_what_setup_made_and_no_longer_works_is_made_anew(setup: Setup) -> None:
    assert setup.run("serve")[0] == 0
    os.unlink(os.path.join(setup.venv, "bin", "python"))
    stale = os.path.join(setup.venv, "stale")
    open(stale, "w").close()
    assert setup.run("serve")[0] == 0
    assert not os.path.exists(stale) and os.path.exists(os.path.join(setup.venv, "bin", "python"))


def test_a_start_that_was_interrupted_is_taken_up(setup: Setup) -> None:
    """The mark is there before anything else, so what stands beside it is ours or nothing."""
    assert setup.run("serve")[0] == 0
    for name in ("pyvenv.cfg", "bin/python", "installed"):
        os.unlink(os.path.join(setup.venv, name))
    assert setup.run("serve")[0] == 0
    assert [call for call in setup.called() if " install " in call][1:]
