"""`pyexec doctor`: show what this host offers against each danger."""

from __future__ import annotations

import argparse

from pyexec.callers import Proxies
from pyexec.config import Config
from pyexec.sandbox import Sandbox

HELP = "show what this host offers"


def main(config: Config, given: argparse.Namespace) -> int:
    """Print the layers and what each stops; a danger that nothing stops is a SandboxError."""
    with Sandbox(config) as sandbox:
        sandbox.await_libraries()
        report = sandbox.report
        print("Layers")
        for status in sandbox.layers:
            print(f"  {'on' if status.on else '-':3} {status.name:18} {status.detail}")
        print("Dangers")
        for danger in report.dangers:
            print(f"  {danger.name:46} {', '.join(danger.layers)}")
        if not report.own_tree:
            print(
                "Runs have no file tree of their own: no /tmp, /mnt/data, /dev/shm; for admins, no pools of processes"
            )
        if not report.own_tree and not report.own_uids:
            print("Nor have they a uid of their own: changing modes and times of files does nothing")
        if report.tmpfs_bytes:
            print(
                f"Runs' directories are on a tmpfs of {report.tmpfs_bytes >> 20} MiB, which bounds what they delete too"
            )
        elif not report.own_tree:
            print("Runs' directories are on a disk: public scripts can't delete or replace files there. Mount a tmpfs")
            print("with a size at --work-dir, as a container's --tmpfs /tmp:size=512m does, or allow mount namespaces")
        calls = report.calls
        print(f"System calls allowed: {calls['public']} for public scripts, {calls['admin']} for admin scripts")
        libraries = ", ".join(f"{name} {version}" for name, version in report.libraries.items())
        print(f"Python {report.python}; {libraries}")
        if not report.own_stacks:
            print("Stacks show pyexec's frames below the script's on this build of Python; tracebacks don't")
        if report.missing:
            print(f"Not installed: {', '.join(report.missing)}")
        for name, reason in report.not_loaded.items():
            print(f"Not loaded ahead: {name} ({reason})")
    described = Proxies.of(config).describe(config.unix_socket is not None)
    print(described[0].upper() + described[1:])
    print("No danger is uncovered.")
    return 0
