"""The machines that `kernels` boots: which kernel, on which processor, and how QEMU is told to emulate it."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from typing import List, Tuple

from tests.prove_slow import debian
from tests.prove_slow.initramfs import Initramfs
from tests.prove_slow.outcomes import SuiteError
from tests.prove_slow.places import ROOT

LONGEST_S = 15 * 60
END = "PYEXEC-GUEST-END"
_MEMORY_MIB = 3072
_TREE = ("bookworm", "bookworm-security")
_PACKAGES = ("busybox-static", "coreutils", "libstdc++6", "python3")
_PARTS = ("pyexec", "tests/tools", "tests/escapes", "tests/prove_slow")
_PLACE = "srv/pyexec"
_LOOK_S, _END_S = 1.0, 20.0
# The first root can't be left by pivot_root, which pyexec's trees need, so that the system moves to a tmpfs.
_INIT = """#!/bin/busybox sh
box=/bin/busybox
$box mkdir -p /moved
$box mount -t tmpfs -o mode=755,size=90% tmpfs /moved
$box cp -a /bin /sbin /lib /lib64 /etc /usr /var /srv /root /mnt /moved/
$box mkdir -p /moved/dev /moved/proc /moved/run /moved/sys
$box mkdir -p -m 1777 /moved/tmp
exec $box switch_root /moved /bin/sh /etc/start
"""
_START = """box=/bin/busybox
$box mount -t proc proc /proc
$box mount -t sysfs sysfs /sys
$box mount -t devtmpfs dev /dev
$box mkdir -p /dev/pts /dev/shm
$box mount -t devpts devpts /dev/pts
$box mount -t tmpfs -o mode=1777 tmpfs /dev/shm
$box mount -t tmpfs -o mode=755 tmpfs /run
$box ip link set lo up
$box hostname guest
$box date -s @%(now)d >/dev/null
export HOME=/root PATH=/usr/bin:/bin:/usr/sbin:/sbin LANG=C.UTF-8
cd /
python3 /%(place)s/tests/prove_slow/guest.py </dev/null
echo
echo %(end)s
$box poweroff -f
"""
_FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/tmp:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    "etc/group": "root:x:0:\nuser:x:1000:\nnogroup:x:65534:\n",
    "etc/hosts": "127.0.0.1 localhost guest\n",
}


@dataclass(frozen=True)
class Machine:
    """One kernel on one architecture: the Debian package that names the newest of its kind, from which suites."""

    name: str
    architecture: str
    kernel: str
    suites: Tuple[str, ...] = _TREE

    def qemu(self) -> List[str]:
        """Return the command that emulates such a machine, but for what it boots."""
        if self.architecture == "arm64":
            return ["qemu-system-aarch64", "-machine", "virt", "-cpu", "cortex-a72"]
        return ["qemu-system-x86_64", "-machine", "q35", "-cpu", "max"]

    @property
    def console(self) -> str:
        """What the kernel calls the machine's first serial line."""
        return "ttyAMA0" if self.architecture == "arm64" else "ttyS0"


MACHINES = (
    Machine("6.1-x86-64", "amd64", "linux-image-cloud-amd64"),
    Machine("6.12-x86-64", "amd64", "linux-image-cloud-amd64", ("bookworm-backports",)),
    Machine("6.1-arm64", "arm64", "linux-image-cloud-arm64"),
)


def boot(machine: Machine, folder: str) -> Tuple[str, float]:
    """Boot a machine and return what its console said until it ended, and how many seconds that took.

    Raises:
        SuiteError: it could not be made, or QEMU didn't start. One that hangs is ended after LONGEST_S.
    """
    kernel, archive = _made(machine, folder)
    console = os.path.join(folder, machine.name + ".console")
    command = [*machine.qemu(), "-accel", "tcg", "-smp", "1", "-m", str(_MEMORY_MIB), "-nodefaults", "-no-user-config"]
    command += ["-display", "none", "-no-reboot", "-serial", "file:" + console]
    command += ["-kernel", kernel, "-initrd", archive]
    command += ["-append", "console=%s quiet loglevel=1 panic=-1 random.trust_cpu=on clearcpuid=cx16" % machine.console]
    with open(console, "w", encoding="ascii"):
        pass  # what an earlier boot said
    started = time.monotonic()
    with open(os.path.join(folder, machine.name + ".qemu"), "w+", encoding="utf-8") as words:
        try:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=words, stderr=words)
        except OSError as error:
            raise SuiteError("%s: %s; it is in Debian's qemu-system-x86 and qemu-system-arm" % (command[0], error))
        try:
            _await_end(process, console, started + LONGEST_S)
        finally:
            process.kill()
            process.wait()
            os.unlink(archive)  # 200 MB, and made anew for each boot
        took_s = time.monotonic() - started
        words.seek(0)
        said = words.read()
    text = _read(console)
    if not text:
        raise SuiteError("%s said nothing; %s" % (command[0], said.strip()[-500:]))
    return text, took_s


def _await_end(process: subprocess.Popen[bytes], console: str, deadline: float) -> None:
    while process.poll() is None and time.monotonic() < deadline:
        if END in _read(console):
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                return  # it has said everything, and can't switch itself off
        time.sleep(_LOOK_S)


def _read(path: str) -> str:
    if not os.path.exists(path):
        return ""
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def _made(machine: Machine, folder: str) -> Tuple[str, str]:
    """Download what the machine is made of; return the paths of its kernel and its initramfs."""
    os.makedirs(folder, exist_ok=True)
    tree = debian.Apt(folder, machine.architecture, _TREE)
    packages = tree.packages(_PACKAGES)
    package = debian.Apt(folder, machine.architecture, machine.suites).kernel(machine.kernel)
    unpacked = package[: -len(".deb")]
    debian.call(["dpkg-deb", "-x", package, unpacked])
    (kernel,) = (name for name in os.listdir(os.path.join(unpacked, "boot")) if name.startswith("vmlinuz"))
    path = os.path.join(folder, machine.name + ".cpio")
    with open(path, "wb") as file:
        archive = Initramfs(file)
        for each in packages:
            archive.package(each)
        for each in debian.wheels(folder, machine.architecture):
            archive.wheel(each)
        for part in _PARTS:
            archive.tree(os.path.join(ROOT, part), os.path.join(_PLACE, part))
        for name, text in _FILES.items():
            archive.text(name, text)
        archive.link("usr/bin/sh", "busybox")
        archive.text("init", _INIT, 0o755)
        archive.text("etc/start", _START % {"now": time.time(), "place": _PLACE, "end": END})
        archive.close()
    return os.path.join(unpacked, "boot", kernel), path
