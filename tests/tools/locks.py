"""The lock files in `requirements/`, and the hosts that they are for."""

from __future__ import annotations

import os
import re
import sys
from typing import Dict, Iterator, List, NamedTuple

from packaging.markers import Marker
from packaging.version import Version
from support import ROOT

sys.path.insert(0, os.path.join(ROOT, "requirements"))
import renew

PYTHONS = ["3.%d" % minor for minor in range(8, 15)]
MACHINES = ("x86_64", "aarch64")
LISTS = renew.wanted()
_PIN = re.compile(r"([a-z0-9-]+)==([\w.]+)(?: ; (.+))?")


class Pin(NamedTuple):
    """One version in a lock file."""

    name: str
    version: Version
    marker: str
    hashes: List[str]

    def holds(self, environment: Dict[str, str]) -> bool:
        """Say whether it is for this kind of host."""
        return not self.marker or Marker(self.marker).evaluate(environment)


def read(name: str) -> str:
    """Return a lock file's text."""
    with open(os.path.join(ROOT, "requirements", name + ".txt"), encoding="utf-8") as file:
        return file.read()


def _pins(name: str) -> Iterator[Pin]:
    body = "\n".join(line for line in read(name).splitlines() if line and not line.startswith("#"))
    for entry in re.split(r"\n(?! )", body):
        pin, *hashes = [part.strip() for part in entry.split(" \\\n")]
        found = _PIN.fullmatch(pin)
        assert found, pin
        yield Pin(found.group(1), Version(found.group(2)), found.group(3) or "", hashes)


def hosts() -> Iterator[Dict[str, str]]:
    """Yield what markers are asked about, for every kind of host that is supported."""
    for python in PYTHONS:
        for machine in MACHINES:
            yield {
                "python_version": python,
                "python_full_version": python + ".1",
                "implementation_name": "cpython",
                "platform_python_implementation": "CPython",
                "platform_machine": machine,
                "platform_system": "Linux",
                "sys_platform": "linux",
                "os_name": "posix",
                "extra": "",
            }


LOCKS = {name: list(_pins(name)) for name in LISTS}
