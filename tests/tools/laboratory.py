"""The laboratory as the tests see it: the processes of `lab.py`, their targets, and what this host must answer."""

from __future__ import annotations

import json
import os
import platform
import re
import socket
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import claims as claims_of
import figures
import lab

from pyexec.kernel import filesystems

CONTAINER = os.environ.get("HOST_KIND", "").startswith("container")


def _kinds() -> List[str]:
    """Return what heads may call this host, the nearest first."""
    found = [os.environ["HOST_KIND"], "container"] if CONTAINER else []
    if filesystems.tmpfs_bytes(tempfile.gettempdir()):  # on which the kernel counts what it doesn't on a disk
        found.append("tmpfs")
    version = re.match(r"(\d+)\.(\d+)", platform.release())
    if version and (int(version[1]), int(version[2])) < (6, 14):  # which charges io_uring's own memory
        found.append("before-6.14")
    return [*found, "root" if os.geteuid() == 0 else "user"]


KINDS = _kinds()


# Landlock before files could be moved between directories (ABI 1: Linux 5.13), as Debian 12 has it (2: 6.1), and with
# rules for TCP but none for signals (4: 6.7).
OLDER = (1, 2, 4)

# For writing, so that who asks about it would have to wait.
_HOLD_LOCK = """
import fcntl, sys, time
with open(sys.argv[1], "r+b") as file:
    fcntl.lockf(file, fcntl.LOCK_EX)
    print("locked", flush=True)
    time.sleep(100000)
"""

# The attacks that there is machine code for.
HERE = [
    name
    for name in claims_of.ATTACKS
    if claims_of.claims(name).get("machine", platform.machine()) == platform.machine()
]

_Choice = Tuple[Tuple[str, ...], bool, Optional[int]]


def expected(head: Dict[str, str], key: str, abi: int = claims_of.NEWEST) -> str:
    """Return what must come of an attack on the present kind of host; see `claims.expected`."""
    return claims_of.expected(head, key, KINDS, abi)


class Laboratory:
    """The lab processes of a test session, one for each choice of layers, started when first asked."""

    def __init__(self, target: Dict[str, Any], before: Optional[Callable[[], None]] = None) -> None:
        """Remember what is attacked, and what each lab process has to do first."""
        self.target = target
        self._before = before
        self._running: Dict[_Choice, subprocess.Popen[str]] = {}
        self._hosts: Dict[_Choice, Dict[str, Any]] = {}
        self._controls: Dict[str, str] = {}

    def result(self, name: str, steps: Tuple[str, ...], admin: bool = False, abi: Optional[int] = None) -> str:
        """Return what came of one attack behind these steps, with this ABI of Landlock or all that the kernel has."""
        process = self._process((steps, admin, abi))
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(name + "\n")
        process.stdin.flush()
        return process.stdout.readline().strip()

    def control(self, name: str) -> str:
        """Return what came of one attack without any layer; tried once."""
        if name not in self._controls:
            self._controls[name] = self.result(name, ())
        return self._controls[name]

    def _process(self, choice: _Choice) -> subprocess.Popen[str]:
        if choice not in self._running:
            steps, admin, abi = choice
            order = json.dumps({"steps": steps, "admin": admin, "abi": abi, "target": self.target})
            command = [sys.executable, "-I", lab.__file__, order]
            # One thread: attacks with numpy load it before the fork.
            environment = dict(os.environ, OPENBLAS_NUM_THREADS="1")
            process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                universal_newlines=True,
                preexec_fn=self._before,
            )
            self._running[choice] = process
            assert process.stdout is not None
            self._hosts[choice] = json.loads(process.stdout.readline())
        return self._running[choice]

    def _host(self) -> Dict[str, Any]:
        choice = (lab.STEPS, False, None)
        self._process(choice)
        return self._hosts[choice]

    def landlock_abi(self) -> int:
        """Return the kernel's; 0 without Landlock."""
        return int(self._host()["landlock_abi"])

    def older_abis(self) -> List[int]:
        """Return the ABIs that this kernel can stand for, beside its own."""
        return [abi for abi in OLDER if abi < self.landlock_abi()]

    def available(self) -> List[str]:
        """Return the steps that this host has."""
        host = self._host()
        missing = {
            "namespaces": not host["namespaces"],
            "landlock": not host["landlock_abi"],
            "seccomp": not host["seccomp"],
        }
        return [step for step in lab.STEPS if not missing.get(step, False)]

    def close(self) -> None:
        """End every lab process."""
        for process in self._running.values():
            process.stdin.close()  # type: ignore[union-attr]
            process.wait(20)
            process.stdout.close()  # type: ignore[union-attr]


@contextmanager
def opened() -> Iterator[Laboratory]:
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
        shared_memory = "/dev/shm/pyexec-escape-%d" % os.getpid()
        with open(shared_memory, "w", encoding="ascii"):
            os.chmod(shared_memory, 0o666)
        victim = subprocess.Popen(["sleep", "100000"])
        lock_holder = subprocess.Popen([sys.executable, "-c", _HOLD_LOCK, installed], stdout=subprocess.PIPE)
        assert lock_holder.stdout is not None and lock_holder.stdout.readline() == b"locked\n"
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
            "shared_memory": shared_memory,
            # Processes are counted by uid over the whole machine: not one that another test or checkout uses.
            "uid_base": 100000 + 1000 * (os.getpid() % 10000) + 960,
            "budget": {"memory_bytes": 256 * 1024 * 1024, "workdir_bytes": 64 * 1024 * 1024},
        }
        running = Laboratory(target)
        try:
            yield running
        finally:
            running.close()
            os.unlink(shared_memory)
            assert victim.poll() is None, "an attack ended the victim"
            for process in (victim, lock_holder):
                process.kill()
                process.wait()
            lock_holder.stdout.close()


def is_not_offered(laboratory: Laboratory, name: str) -> bool:
    """Return whether this kernel can't show that an attack succeeds without layers, because it lacks what that needs."""
    head, control = claims_of.claims(name), laboratory.control(name)
    return control != expected(head, "control") and claims_of.not_offered(head, control)


def as_expected(laboratory: Laboratory, name: str, key: str, abi: int, found: str) -> str:
    """Return what must come of an attack: `found`, if that is as right as what the head says.

    What the kernel does not offer ends behind a layer as it ends without one, unless the layer is asked first. What it
    offers root alone ends so where the layers have taken root's rights away.
    """
    head = claims_of.claims(name)
    word = expected(head, key, abi)
    if is_not_offered(laboratory, name) and found == laboratory.control(name):
        return found
    if word in claims_of.SUCCESS and _takes_rights(key) and found in head.get("absent", "").split():
        return found
    return word


def _takes_rights(key: str) -> bool:
    """Return whether an attack behind these layers has neither root's uid nor capabilities."""
    return key == "identity" or (key.startswith("without ") and key != "without identity")


def each_alone(laboratory: Laboratory, name: str) -> int:
    """Try an attack behind each layer that this host has, alone; return how many those are.

    Raises:
        AssertionError: it ended in another way than its head says.
    """
    abi = laboratory.landlock_abi()
    found = {step: laboratory.result(name, (step,)) for step in laboratory.available()}
    wanted = {step: as_expected(laboratory, name, step, abi, found[step]) for step in found}
    assert found == wanted, "alone: %s, not %s" % (found, wanted)
    return len(found)


def contained_by_all(laboratory: Laboratory, name: str, abi: Optional[int]) -> None:
    """Try an attack behind all layers, by the public rules and by admins', with this ABI of Landlock or the kernel's own.

    Raises:
        AssertionError: it ended in another way than its head says, or it succeeds and nobody says why that is harmless.
    """
    head, reached = claims_of.claims(name), abi or laboratory.landlock_abi()
    for admin, key in ((False, "all"), (True, "admin" if "admin" in head else "all")):
        word, found = expected(head, key, reached), laboratory.result(name, lab.STEPS, admin=admin, abi=abi)
        assert found == word, "ABI %s, %s: %s, not %s" % (abi, "admin" if admin else "public", found, word)
        assert word not in claims_of.SUCCESS or head["contained"], "it succeeds and must say why it is harmless"
        figures.record("attack runs behind all layers")
        figures.record("of these contained")


def all_but_one(laboratory: Laboratory, name: str, abi: Optional[int]) -> None:
    """Leave each layer out in turn, with this ABI of Landlock or all that the kernel has."""
    head, reached = claims_of.claims(name), abi or laboratory.landlock_abi()
    available = laboratory.available()
    stoppers = {step for step in available if expected(head, step, reached) != expected(head, "control")}
    for left_out in available:
        found = laboratory.result(name, tuple(step for step in lab.STEPS if step != left_out), abi=abi)
        assert not found.startswith("other"), found
        told = any("without " + left_out + kind in head for kind in [""] + ["@" + kind for kind in KINDS])
        if stoppers - {left_out} and not told and expected(head, "all", reached) not in claims_of.SUCCESS:
            assert found not in claims_of.SUCCESS, "without %s: %s" % (left_out, found)
        else:
            assert found not in claims_of.SUCCESS or stoppers == {left_out} or head["contained"]
            assert found == as_expected(laboratory, name, "without " + left_out, reached, found), left_out
        figures.record("attack runs behind all layers but one")
