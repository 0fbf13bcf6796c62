"""A run makes no System V shared memory.

danger: meet another run
control: ok
namespaces@root: ENOSPC
seccomp: EPERM
all: EPERM
"""


def attack(target):
    target["call"]("shmget", 0, 4096, 0o1600)
