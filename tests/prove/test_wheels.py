"""Every host that pyexec supports finds wheels, among what the lock file's hashes allow, on the package index.

What lacks one is named in LACKING with the reason: `setup.sh serve` fails there, with pip's own words.
"""

from __future__ import annotations

import json
import urllib.request
from typing import Any, Dict, Iterator, List, Set, Tuple

import pytest
from locks import LOCKS, MACHINES, PYTHONS, hosts
from packaging.tags import Tag, cpython_tags
from packaging.utils import parse_wheel_filename

INDEX = "https://pypi.org/simple"
KINDS = ("manylinux", "musllinux")
# The C libraries of Debian 10, RHEL 8 and Ubuntu 20.04 (2.28, 2.31), and of Alpine 3.13 (1.2).
GLIBC_MINOR, MUSL_MINOR = 28, 2

# (package, Python, kind, machine): why there is no wheel.
LACKING: Dict[Tuple[str, str, str, str], str] = {
    ("numpy", "3.8", "musllinux", machine): "1.24 is numpy's last for Python 3.8, and 1.25 its first with such wheels"
    for machine in MACHINES
}


def _tags(python: str, kind: str, machine: str) -> Set[Tag]:
    if kind == "manylinux":
        platforms = ["manylinux_2_%d_%s" % (minor, machine) for minor in range(GLIBC_MINOR, 4, -1)]
        platforms.append("manylinux2014_" + machine)
    else:
        platforms = ["musllinux_1_%d_%s" % (minor, machine) for minor in range(MUSL_MINOR, -1, -1)]
    major, minor = python.split(".")
    version = (int(major), int(minor))
    tags = set(cpython_tags(version, ["cp" + major + minor], platforms))
    pure = ("py%s%s" % (major, minor), "py" + major)
    return tags | {Tag(name, "none", "any") for name in pure} | {Tag("cp" + major + minor, "none", "any")}


@pytest.fixture(scope="module")
def published() -> Dict[str, Dict[str, str]]:
    """The index's wheels of each package, as names by hash: one question for each package."""
    found = {}
    for name in sorted({pin.name for pin in LOCKS["runtime"]}):
        wanted = {"Accept": "application/vnd.pypi.simple.v1+json"}
        question = urllib.request.Request("%s/%s/" % (INDEX, name), headers=wanted)
        with urllib.request.urlopen(question, timeout=60) as answer:
            files: List[Dict[str, Any]] = json.load(answer)["files"]
        wheels = [file for file in files if file["filename"].endswith(".whl") and not file.get("yanked")]
        found[name] = {"--hash=sha256:" + file["hashes"]["sha256"]: file["filename"] for file in wheels}
    return found


def _lacking(published: Dict[str, Dict[str, str]]) -> Iterator[Tuple[str, str, str, str]]:
    for host in hosts():
        python, machine = host["python_version"], host["platform_machine"]
        for pin in (pin for pin in LOCKS["runtime"] if pin.holds(host)):
            names = [published[pin.name][item] for item in pin.hashes if item in published[pin.name]]
            offered = {tag for name in names for tag in parse_wheel_filename(name)[3]}
            for kind in KINDS:
                if not offered & _tags(python, kind, machine):
                    yield pin.name, python, kind, machine


def test_every_supported_host_finds_its_wheels(published: Dict[str, Dict[str, str]]) -> None:
    assert set(_lacking(published)) == set(LACKING)


def test_a_wheel_that_is_lacking_is_noticed(published: Dict[str, Dict[str, str]]) -> None:
    """The control: without the wheels for musl on arm64, just these hosts are named."""
    fewer = {
        package: {item: name for item, name in wheels.items() if "musllinux" not in name or "aarch64" not in name}
        for package, wheels in published.items()
    }
    found = set(_lacking(fewer)) - set(LACKING)
    assert {(kind, machine) for _, _, kind, machine in found} == {("musllinux", "aarch64")}
    assert {python for name, python, _, _ in found if name == "pillow"} == set(PYTHONS)


def test_every_pin_is_still_published(published: Dict[str, Dict[str, str]]) -> None:
    for pin in LOCKS["runtime"]:
        assert set(pin.hashes) & set(published[pin.name]), pin
