"""A run makes no namespace with other clocks.

danger: gain privilege
control: ok
absent: EINVAL
control@container: EPERM
seccomp: EPERM
all: EPERM
"""


def attack(target):
    target["call"]("unshare", 0x10000000 | 0x80)
