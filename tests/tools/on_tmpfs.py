"""Run a command with a tmpfs mounted on a directory, which nobody else sees: `python on_tmpfs.py DIRECTORY SIZE COMMAND...`.

Stands for `--tmpfs` of a container, whose own profile then lets nothing be mounted; see `refuse.py`.
"""

from __future__ import annotations

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from pyexec.kernel import libc, namespaces, tree


def main() -> None:
    """Mount and execute."""
    directory, size, *command = sys.argv[1:]
    uid, gid, privileged = os.geteuid(), os.getegid(), os.geteuid() == 0
    flags = namespaces.CLONE_NEWNS | (0 if privileged else namespaces.CLONE_NEWUSER)
    libc.syscall("unshare", flags)
    if not privileged:
        namespaces.map_ids(uid, gid, os.open("/proc", os.O_RDONLY | os.O_CLOEXEC))
    tree.make_private()
    libc.mount("on_tmpfs", directory, "tmpfs", tree.MS_NOSUID | tree.MS_NODEV, f"size={size},mode=0755,uid={uid}")
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
