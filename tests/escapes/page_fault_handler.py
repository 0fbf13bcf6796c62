"""A run handles no page faults of the kernel.

danger: attack the kernel
control: ok
absent: EPERM
control@container: EPERM
seccomp: EPERM
all: EPERM
"""


def attack(target):
    target["call"]("userfaultfd", 1)
