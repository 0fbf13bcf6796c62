"""A run calls unshare for nothing at all.

danger: gain privilege
control: ok
control@container: EPERM
seccomp: EPERM
all: EPERM
"""


def attack(target):
    target["call"]("unshare", 0)
