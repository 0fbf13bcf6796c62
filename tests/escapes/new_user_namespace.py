"""A run makes no user namespace, the door to most kernel holes of the last years.

danger: gain privilege
control: ok
control@container: EPERM
seccomp: EPERM
all: EPERM
"""


def attack(target):
    target["call"]("unshare", 0x10000000)
