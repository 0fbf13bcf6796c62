"""What the guests are made of: Debian's packages and our pinned wheels, downloaded for another kernel or architecture.

apt gets a directory of its own, so that the packages are found and their signatures checked as on a Debian machine of
that architecture, and nothing is installed on this one. Needs Debian's apt-get and dpkg-deb; no root.
"""

from __future__ import annotations

import glob
import os
import re
import subprocess
import sys
from typing import Dict, List, Sequence

from packaging.markers import Marker

from tests.prove_slow.outcomes import SuiteError
from tests.prove_slow.places import ROOT

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_ARCHIVES = {"bookworm-security": "http://deb.debian.org/debian-security"}
_ARCHIVE = "http://deb.debian.org/debian"
_FETCH_S = 1200
_LOCK = os.path.join(ROOT, "requirements", "runtime.txt")
_PYTHON = "3.11.2"  # bookworm's
_WHEELS = {"amd64": "x86_64", "arm64": "aarch64"}


class Apt:
    """Debian's archive as a machine of one architecture sees it that has certain suites."""

    def __init__(self, folder: str, architecture: str, suites: Sequence[str]) -> None:
        """Fetch the lists of packages. Raises SuiteError if they can't be had."""
        self._folder = os.path.join(folder, "-".join([architecture, *suites]))
        for part in ("state/lists/partial", "cache/archives/partial"):
            os.makedirs(os.path.join(self._folder, part), exist_ok=True)
        self._write("status", "")
        lines = ["deb [signed-by=%s] %s %s main\n" % (KEYRING, _ARCHIVES.get(each, _ARCHIVE), each) for each in suites]
        self._write("sources.list", "".join(lines))
        options = {
            "APT::Architecture": architecture,
            "APT::Architectures": architecture,
            "APT::Sandbox::User": "root" if os.geteuid() == 0 else "",  # _apt can't write here
            "Acquire::Languages": "none",
            "Dir::State": os.path.join(self._folder, "state"),
            "Dir::State::status": os.path.join(self._folder, "status"),
            "Dir::Cache": os.path.join(self._folder, "cache"),
            "Dir::Etc::sourcelist": os.path.join(self._folder, "sources.list"),
            "Dir::Etc::sourceparts": "/dev/null",
        }
        self._options = [part for name, value in options.items() for part in ("-o", "%s=%s" % (name, value))]
        call(["apt-get", *self._options, "-q", "update"])

    def packages(self, names: Sequence[str]) -> List[str]:
        """Return the paths of these packages and all that they depend on, downloaded."""
        flags = ["-q", "-y", "--download-only", "--no-install-recommends", "install"]
        call(["apt-get", *self._options, *flags, *names])
        return sorted(glob.glob(os.path.join(self._folder, "cache", "archives", "*.deb")))

    def kernel(self, newest: str) -> str:
        """Return the path of the kernel that a package for "the newest of its kind" depends on, downloaded."""
        said = call(["apt-cache", *self._options, "show", "--no-all-versions", newest])
        found = re.search(r"^Depends: (linux-image-\S+)", said, re.MULTILINE)
        if not found:
            raise SuiteError("%s depends on no kernel" % newest)
        name = found.group(1)
        kept = os.path.join(self._folder, name)
        os.makedirs(kept, exist_ok=True)
        if not glob.glob(os.path.join(kept, "*.deb")):
            call(["apt-get", *self._options, "-q", "download", name], kept)
        return glob.glob(os.path.join(kept, "*.deb"))[0]

    def _write(self, name: str, text: str) -> None:
        with open(os.path.join(self._folder, name), "w", encoding="ascii") as file:
            file.write(text)


def wheels(folder: str, architecture: str) -> List[str]:
    """Return the paths of the wheels that `requirements/runtime.txt` pins for the guests' Python, downloaded."""
    machine = _WHEELS[architecture]
    kept = os.path.join(folder, "wheels-" + architecture)
    os.makedirs(kept, exist_ok=True)
    with open(_LOCK, encoding="utf-8") as file:
        lock = _for_guest(file.read(), machine)
    path = os.path.join(kept, "requirements.txt")
    with open(path, "w", encoding="utf-8") as file:
        file.write(lock)
    flags = ["--quiet", "--disable-pip-version-check", "--require-hashes", "--only-binary", ":all:", "--no-deps"]
    for tag in ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014"):
        flags += ["--platform", "%s_%s" % (tag, machine)]
    flags += ["--implementation", "cp", "--python-version", _PYTHON, "--dest", kept, "-r", path]
    call([sys.executable, "-m", "pip", "download", *flags])
    return sorted(glob.glob(os.path.join(kept, "*.whl")))


def _for_guest(lock: str, machine: str) -> str:
    """Return the lines of a lock that hold for the guests: pip would ask the markers of the Python that it runs in."""
    guest: Dict[str, str] = {
        "python_full_version": _PYTHON,
        "python_version": _PYTHON.rpartition(".")[0],
        "platform_machine": machine,
        "sys_platform": "linux",
    }
    found = []
    for entry in re.split(r"\n(?=\S)", lock):
        line, _, hashes = entry.partition("\\\n")
        wanted, _, marker = line.partition(";")
        if "==" in wanted and (not marker.strip() or Marker(marker.strip()).evaluate(guest)):
            found.append("%s \\\n%s\n" % (wanted.strip(), hashes.rstrip()))
    return "".join(found)


def call(command: List[str], folder: str = ROOT) -> str:
    """Return what a command writes. Raises SuiteError if it fails, with what it said."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_FETCH_S,
            cwd=folder,
            text=True,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SuiteError("%s: %s" % (command[0], error)) from error
    if done.returncode:
        raise SuiteError("%s failed: %s" % (command[0], done.stderr.strip()[-500:]))
    return done.stdout
