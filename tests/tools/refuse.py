"""Run a command on a host that lacks something: `python refuse.py [--errno N] CALL... -- COMMAND...`.

A seccomp filter around the command refuses the named system calls, as a container's profile or an old kernel would.
`docker` stands for what Docker's default profile refuses of the calls that pyexec would make.
"""

from __future__ import annotations

import errno
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from system_calls import TABLES

from pyexec.kernel import bpf, libc, seccomp

TOGETHER = {
    "docker": "unshare setns mount umount2 pivot_root mount_setattr".split(),
    "landlock": "landlock_create_ruleset landlock_add_rule landlock_restrict_self".split(),
}


def refuse(calls: list[str], number: int) -> None:
    """Make these calls fail with this errno in this process and all that come of it."""
    numbers = TABLES[libc.machine()]
    rules = [bpf.Rule(numbers[name], (), bpf.errno_action(number)) for name in calls]
    libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
    seccomp.load(bpf.encode(bpf.assemble(bpf.AUDIT_ARCH[libc.machine()], rules, bpf.RET_ALLOW)))


def main() -> None:
    """Refuse and execute."""
    split = sys.argv.index("--")
    names, command = sys.argv[1:split], sys.argv[split + 1 :]
    number = errno.EPERM
    if names and names[0] == "--errno":
        number = int(names[1])
        names = names[2:]
    calls = []
    for name in names:
        calls += TOGETHER.get(name, [name])
    refuse(calls, number)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
