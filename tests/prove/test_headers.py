"""The call numbers, against the kernel headers of both machines (Debian: linux-libc-dev, linux-libc-dev-arm64-cross)."""

from __future__ import annotations

import re
import subprocess
from typing import Dict

import pytest
from system_calls import MACHINES, TABLES

from pyexec.kernel import syscalls


def _headers(machine: str) -> Dict[str, int]:
    """Return the call table of the kernel headers that Debian installs for a machine."""
    include = {
        "x86_64": ["/usr/include", "/usr/include/x86_64-linux-gnu"],
        "aarch64": ["/usr/aarch64-linux-gnu/include"],
    }
    flags = ["-I" + path for path in include[machine]] + (["-D__x86_64__"] if machine == "x86_64" else ["-U__x86_64__"])
    command = ["cpp", "-dM", "-nostdinc"] + flags
    text = subprocess.run(
        command, input=b"#include <asm/unistd.h>\n", stdout=subprocess.PIPE, check=True
    ).stdout.decode()
    raw = dict(re.findall(r"#define __NR(\w+) (\S+)", text))

    def resolve(value: str) -> int:
        return int(value) if value.isdigit() else resolve(raw[value[len("__NR") :]])

    known = {name[1:]: value for name, value in raw.items() if name.startswith("_")}
    return {name: resolve(value) for name, value in known.items() if value.isdigit() or value[len("__NR") :] in raw}


@pytest.mark.parametrize("machine", MACHINES)
def test_full_table_is_that_of_the_kernel_headers(machine: str) -> None:
    found = _headers(machine)
    assert len(found) > 290
    for name, number in TABLES[machine].items():
        assert found.get(name, number) == number, name
    # Headers older than Linux 6.6 lack its fchmodat2, which the filter names all the same.
    known = {name for name in syscalls.CALLS if TABLES[machine].get(name, 10**6) <= max(found.values())}
    assert set(syscalls.CALLS) & set(found) == known
