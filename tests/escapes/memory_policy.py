"""A run sets no memory policy.

danger: attack the kernel
control: ok
seccomp: EPERM
all: EPERM
"""


def attack(target):
    target["call"]("set_mempolicy", 0, None, 0)
