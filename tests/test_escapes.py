"""Every attack in `escapes/`: with no layer, with each layer alone, with all, and with all but one.

The head of an attack's file states what must happen; a line left out means that the layer alone does not stop it:

    danger: a row of the table of dangers
    control: ok                     with no layer: a probe that could not succeed would prove nothing
    landlock: EACCES                that layer alone, and the exact errno or signal
    identity@root: EACCES           only where the server is root; `@user` where it is not; `@container` in a container
                                    without namespaces, whose own profile refuses some calls already
    all: EPERM                      all layers, public rules
    without seccomp: EAGAIN         all layers but the only one that stops it alone, where two others do it together
    admin: ok                       all layers, admin rules; where it differs from `all`
    bare: EPERM                     admin rules with neither a tree nor a uid of its own; where it differs from `admin`
    contained: by what              for an admin attack that may succeed: why it is harmless
    public: yes                     it needs nothing but what public scripts may import: run as one by a real server, too
    machine: x86_64                 it has machine code, for this machine alone

Attacks named `policy_…` get around the import policy, which is on for them; they must reach what they want in Python.
The machine must have every layer that the tests name (EXPECT_LAYERS in CI): a missing one is red.
"""

from __future__ import annotations

import errno
import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
from typing import Any, Dict, Iterator, List, Tuple

import claims as claims_of
import lab
import pytest
from claims import ATTACKS, ESCAPES, SUCCESS, claims
from conftest import ROOT, RunningServer
from figures import record

CONTAINER = os.environ.get("HOST_KIND", "").startswith("container")
HERE = [name for name in ATTACKS if claims(name).get("machine", platform.machine()) == platform.machine()]
PUBLIC = [name for name in HERE if "public" in claims(name)]


class Laboratory:
    """The lab processes of a test session, one for each choice of layers, started when first asked."""

    def __init__(self, target: Dict[str, Any]) -> None:
        self.target = target
        self._running: Dict[Tuple[Tuple[str, ...], bool], subprocess.Popen[str]] = {}
        self._hosts: Dict[Tuple[Tuple[str, ...], bool], Dict[str, Any]] = {}

    def result(self, name: str, steps: Tuple[str, ...], admin: bool = False) -> str:
        """Return what came of one attack behind these steps."""
        process = self._process(steps, admin)
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(name + "\n")
        process.stdin.flush()
        return process.stdout.readline().strip()

    def _process(self, steps: Tuple[str, ...], admin: bool) -> subprocess.Popen[str]:
        key = (steps, admin)
        if key not in self._running:
            order = json.dumps({"steps": steps, "admin": admin, "target": self.target})
            command = [sys.executable, "-I", lab.__file__, order]
            # One thread: attacks with numpy load it before the fork.
            environment = dict(os.environ, OPENBLAS_NUM_THREADS="1")
            process = subprocess.Popen(
                command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, universal_newlines=True
            )
            assert process.stdout is not None
            self._hosts[key] = json.loads(process.stdout.readline())
            self._running[key] = process
        return self._running[key]

    def available(self) -> List[str]:
        """Return the steps that this host has."""
        self._process(lab.STEPS, False)
        host = self._hosts[lab.STEPS, False]
        missing = {
            "namespaces": not host["namespaces"],
            "landlock": not host["landlock_abi"],
            "seccomp": not host["seccomp"],
        }
        return [step for step in lab.STEPS if not missing.get(step, False)]

    def close(self) -> None:
        for process in self._running.values():
            process.stdin.close()  # type: ignore[union-attr]
            process.wait(20)
            process.stdout.close()  # type: ignore[union-attr]


@pytest.fixture(scope="session")
def laboratory() -> Iterator[Laboratory]:
    """Targets on the host outside the sandbox, and the labs that attack them."""
    with tempfile.TemporaryDirectory(prefix="escape-target-") as directory, tempfile.TemporaryDirectory(
        prefix="escape-installed-",
        dir="/var/tmp",  # not where the tree has its own /tmp
    ) as elsewhere, socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket(
        socket.AF_UNIX
    ) as abstract, socket.socket(socket.AF_UNIX) as named:
        os.chmod(directory, 0o755)
        secret = os.path.join(directory, "secret.txt")
        with open(secret, "w", encoding="ascii") as file:
            file.write("the server's secret")
        os.chmod(secret, 0o666)
        base = os.path.join(directory, "base")
        os.mkdir(base)
        os.chmod(base, 0o711)
        open_directory = os.path.join(directory, "open")
        os.mkdir(open_directory)
        os.chmod(open_directory, 0o777)
        removable = os.path.join(directory, "removable")
        os.mkdir(removable)
        os.chmod(removable, 0o777)
        for place in range(200):
            with open(os.path.join(removable, str(place)), "w", encoding="ascii"):
                continue
        installed = os.path.join(elsewhere, "module.py")
        os.chmod(elsewhere, 0o755)
        with open(installed, "w", encoding="ascii") as file:
            file.write("PLACE = 'installed'\n")
        os.chmod(installed, 0o644)
        tcp.bind(("127.0.0.1", 0))
        tcp.listen(128)
        udp.bind(("127.0.0.1", 0))
        abstract.bind("\0pyexec-escape-%d" % os.getpid())
        abstract.listen(128)
        named.bind(os.path.join(directory, "socket"))
        os.chmod(os.path.join(directory, "socket"), 0o777)
        named.listen(128)
        victim = subprocess.Popen(["sleep", "1000"])
        target = {
            "secret": secret,
            "directory": directory,
            "open_directory": open_directory,
            "removable": removable,
            "base": base,
            "installed": installed,
            "tcp_port": tcp.getsockname()[1],
            "udp_port": udp.getsockname()[1],
            "abstract": "pyexec-escape-%d" % os.getpid(),
            "socket_path": os.path.join(directory, "socket"),
            "victim": victim.pid,
            # Processes are counted by uid over the whole machine: not one that another test or checkout uses.
            "uid_base": 100000 + 1000 * (os.getpid() % 10000) + 960,
            "budget": {"memory_bytes": 256 * 1024 * 1024, "workdir_bytes": 64 * 1024 * 1024},
        }
        running = Laboratory(target)
        try:
            yield running
        finally:
            running.close()
            assert victim.poll() is None, "an attack ended the victim"
            victim.kill()
            victim.wait()


def expected(head: Dict[str, str], key: str) -> str:
    """Return what must come of an attack on the present kind of host."""
    kinds = ([os.environ["HOST_KIND"], "container"] if CONTAINER else []) + ["root" if os.geteuid() == 0 else "user"]
    return claims_of.expected(head, key, kinds)


@pytest.mark.parametrize("name", HERE)
def test_succeeds_without_any_layer(laboratory: Laboratory, name: str) -> None:
    found = laboratory.result(name, ())
    assert found == expected(claims(name), "control")
    record("attacks")
    record("of these succeed without a layer", found in SUCCESS)


@pytest.mark.parametrize("name", HERE)
def test_each_layer_alone(laboratory: Laboratory, name: str) -> None:
    head = claims(name)
    found = {step: laboratory.result(name, (step,)) for step in laboratory.available()}
    assert found == {step: expected(head, step) for step in found}
    record("attack runs behind one layer", len(found))


@pytest.mark.parametrize("name", HERE)
def test_contained_by_all_layers(laboratory: Laboratory, name: str) -> None:
    head = claims(name)
    assert laboratory.result(name, lab.STEPS) == expected(head, "all")
    assert expected(head, "all") != "ok" and head["all"] != head.get("control", "ok")
    assert laboratory.result(name, lab.STEPS, admin=True) == expected(head, "admin" if "admin" in head else "all")
    assert head.get("admin") != head.get("control", "ok") or head["contained"], (
        "an admin attack that succeeds must say why it is harmless"
    )
    record("attack runs behind all layers", 2)
    record("of these contained", 2)


@pytest.mark.parametrize("name", HERE)
def test_admins_with_neither_a_tree_nor_a_uid_of_their_own(laboratory: Laboratory, name: str) -> None:
    """What Landlock doesn't look at is the filter's to hold there. Run as root the attack has root's own rights."""
    head = claims(name)
    found = laboratory.result(name, ("rlimits", "landlock", "seccomp"), admin=True)
    assert not found.startswith("other"), found
    assert "bare" not in head or found == head["bare"]
    if found in SUCCESS:
        assert "ok" in (head.get("bare"), head.get("admin")) and head["contained"], found
    record("attack runs of admins without tree and uid")


@pytest.mark.parametrize("name", HERE)
def test_all_layers_but_one(laboratory: Laboratory, name: str) -> None:
    head = claims(name)
    available = laboratory.available()
    stoppers = {step for step in available if expected(head, step) != expected(head, "control")}
    for left_out in available:
        found = laboratory.result(name, tuple(step for step in lab.STEPS if step != left_out))
        assert not found.startswith("other"), found
        if stoppers - {left_out}:
            assert found not in SUCCESS, "without %s: %s" % (left_out, found)
        else:
            assert found == expected(head, "without " + left_out)
        record("attack runs behind all layers but one")


_FRAME = """
target = %r
try:
    attack(target)
except OSError as error:
    print(error.errno)
"""


@pytest.fixture(scope="session")
def long_scripts(laboratory: Laboratory) -> Iterator[RunningServer]:
    """A server that takes scripts as long as attacks are."""
    running = RunningServer(
        {"code_chars": 20000, "rate_per_minute": 10000, "rate_per_day": 10000, "work_dir": laboratory.target["base"]}
    )
    yield running
    assert running.stop() == 0


@pytest.mark.parametrize("name", PUBLIC)
def test_contained_as_a_public_script(laboratory: Laboratory, long_scripts: RunningServer, name: str) -> None:
    with open(os.path.join(ESCAPES, name + ".py"), encoding="utf-8") as file:
        source = file.read()
    with open(os.path.join(ROOT, "tests", "corruption.py"), encoding="utf-8") as file:
        source = source.replace("from corruption import system_call\n", file.read())
    target = {key: value for key, value in laboratory.target.items() if key != "budget"}
    result = long_scripts.client.execute(source + _FRAME % dict(target, word_fd=1))
    word = result.stdout.strip()
    assert (errno.errorcode.get(int(word), word) if word.isdigit() else word) == expected(claims(name), "all"), result
    record("attacks as public scripts, contained")
