"""The clients' packages, each installed once below build/, at versions that are named here alone."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from typing import Dict, List

from support import ROOT

PYTHON = {"2": "mcp==2.3.0", "1": "mcp==1.30.0"}
_ARCHITECTURE = {"x86_64": "x64", "aarch64": "arm64"}[platform.machine()]
_NODE = "node-linux-%s" % _ARCHITECTURE  # the suite needs node 22, which Debian 13 doesn't have
NODE = [
    "@modelcontextprotocol/client@2.4.0",
    "@modelcontextprotocol/sdk@1.32.2",
    "@modelcontextprotocol/conformance@0.2.0-alpha.11",
    _NODE + "@22.23.5",
]
_HOME = os.path.join(ROOT, "build", "mcp")


def _once(directory: str, wanted: str, commands: List[List[str]]) -> None:
    """Carry out the commands, unless a mark says that they were for the same packages."""
    mark = os.path.join(directory, "installed")
    if os.path.exists(mark):
        with open(mark, encoding="utf-8") as file:
            if file.read() == wanted:
                return
    for command in commands:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert done.returncode == 0, done.stdout[-3000:]
    with open(mark, "w", encoding="utf-8") as file:
        file.write(wanted)


def python_with(major: str) -> str:
    """Return an interpreter that has the official Python client of a major version."""
    directory = os.path.join(_HOME, "python" + major)
    python = os.path.join(directory, "bin", "python")
    install = [
        python,
        "-m",
        "pip",
        "install",
        "-q",
        "--disable-pip-version-check",
        "--only-binary",
        ":all:",
        PYTHON[major],
    ]
    _once(directory, PYTHON[major], [[sys.executable, "-m", "venv", "--clear", directory], install])
    return python


def node_directory() -> str:
    """Return a directory that has the official TypeScript clients, the conformance suite, and a node for them."""
    directory = os.path.join(_HOME, "node")
    os.makedirs(directory, exist_ok=True)
    install = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", directory, *NODE]
    _once(directory, " ".join(NODE), [install])
    return directory


def node() -> str:
    """Return the path of node."""
    return os.path.join(node_directory(), "node_modules", _NODE, "bin", "node")


def environment() -> Dict[str, str]:
    """Return the environment for a client, which starts a server of this checkout."""
    return dict(os.environ, SERVER_PYTHONPATH=ROOT)
