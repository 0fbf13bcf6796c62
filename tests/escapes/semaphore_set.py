"""A run makes no System V semaphores.

danger: meet another run
control: ok
namespaces@root: EINVAL
seccomp: EPERM
all: EPERM
"""

import contextlib


def attack(target):
    made = target["call"]("semget", 0, 1, 0o1600)
    # It would outlive every process.
    with contextlib.suppress(OSError):  # the attack has succeeded, whether or not that can be undone
        target["call"]("semctl", made, 0, 0, 0)
