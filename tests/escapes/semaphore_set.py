"""A run makes no System V semaphores.

danger: meet another run
control: ok
namespaces@root: EINVAL
seccomp: EPERM
all: EPERM
"""


def attack(target):
    target["call"]("semget", 0, 1, 0o1600)
