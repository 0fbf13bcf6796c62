"""A run makes no System V shared memory.

danger: meet another run
control: ok
namespaces@root: ENOSPC
seccomp: EPERM
all: EPERM
"""

import contextlib


def attack(target):
    made = target["call"]("shmget", 0, 4096, 0o1600)
    # It would outlive every process, and with it the keys of its maker, of which a user may have 200.
    with contextlib.suppress(OSError):  # the attack has succeeded, whether or not that can be undone
        target["call"]("shmctl", made, 0, 0)
