"""A run makes no System V message queue.

danger: meet another run
control: ok
namespaces@root: ENOSPC
seccomp: EPERM
all: EPERM
"""


def attack(target):
    made = target["call"]("msgget", 0, 0o1600)
    # It would outlive every process.
    target["call"]("msgctl", made, 0, 0)
