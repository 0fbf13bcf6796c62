"""A run makes no timer descriptor.

danger: attack the kernel
control: ok
seccomp: EPERM
all: EPERM
"""


def attack(target):
    target["call"]("timerfd_create", 1, 0)
