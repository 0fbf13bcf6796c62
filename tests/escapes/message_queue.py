"""A run makes no System V message queue.

danger: meet another run
control: ok
namespaces@root: ENOSPC
seccomp: EPERM
all: EPERM
"""


def attack(target):
    target["call"]("msgget", 0, 0o1600)
