"""A run makes no System V message queue.

danger: meet another run
control: ok
namespaces@root: ENOSPC
seccomp: EPERM
all: EPERM
"""

import contextlib


def attack(target):
    made = target["call"]("msgget", 0, 0o1600)
    # It would outlive every process.
    with contextlib.suppress(OSError):  # the attack has succeeded, whether or not that can be undone
        target["call"]("msgctl", made, 0, 0)
