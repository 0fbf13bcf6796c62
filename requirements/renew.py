"""Make the lock files anew: python3 requirements/renew.py, with the network, then read what changed and run the tests.

A lock file pins what one list of setup.cfg brings in, with hashes, for every Python from 3.8 on: `runtime` for
install_requires, the others for the extras of their names. All of them hold the same versions, so one can be installed
on top of another. uv makes them, in an environment of its own that is removed afterwards.
"""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
import tempfile
import venv
from typing import Dict, List

HERE = os.path.dirname(os.path.abspath(__file__))
UV = "uv==0.13.9"
OLDEST_PYTHON = "3.8"
RUNTIME = "runtime"
_HEAD = "# Made by requirements/renew.py from these lines of setup.cfg; don't edit.\n#\n"


def wanted() -> Dict[str, List[str]]:
    """Return what setup.cfg asks for: the lines of each list by the name of its lock file."""
    setup = configparser.ConfigParser(interpolation=None)
    with open(os.path.join(os.path.dirname(HERE), "setup.cfg"), encoding="utf-8") as file:
        setup.read_file(file)
    texts = {RUNTIME: setup["options"]["install_requires"], **setup["options.extras_require"]}
    return {name: [line for line in text.splitlines() if line.strip()] for name, text in texts.items()}


def head(lines: List[str]) -> str:
    """Return how the lock file of these lines begins."""
    return _HEAD + "".join("#   %s\n" % line for line in lines) + "\n"


def _compile(uv: str, lines: List[str], output: str, *options: str) -> str:
    """Return the lock of some requirements, which is in the file `output` as well."""
    command = [uv, "pip", "compile", "-", "--output-file", output, "--universal", "--python-version", OLDEST_PYTHON]
    # An archive of sources would bring what it is built with, and that without hashes.
    command += [
        "--generate-hashes",
        "--only-binary",
        ":all:",
        "--no-header",
        "--no-annotate",
        "--quiet",
        "--system-certs",
    ]
    subprocess.run(command + list(options), input="\n".join(lines), encoding="utf-8", check=True)
    with open(output, encoding="utf-8") as file:
        return file.read()


def main() -> None:
    """Write every lock file."""
    with tempfile.TemporaryDirectory(prefix="pyexec-renew-") as work:
        venv.create(work, with_pip=True)
        subprocess.run([os.path.join(work, "bin", "pip"), "install", "-q", UV], check=True)
        uv = os.path.join(work, "bin", "uv")
        lists = wanted()
        together = os.path.join(work, "together.txt")
        _compile(uv, [line for lines in lists.values() for line in lines], together)
        for name, lines in lists.items():
            lock = _compile(uv, lines, os.path.join(work, name + ".txt"), "--constraint", together)
            with open(os.path.join(HERE, name + ".txt"), "w", encoding="utf-8") as file:
                file.write(head(lines) + lock)


if __name__ == "__main__":
    sys.exit(main())
