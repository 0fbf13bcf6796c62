"""A run makes no socket to the hypervisor.

danger: reach a network
control: ok
absent: EAFNOSUPPORT
seccomp: EPERM
all: EPERM
"""


def attack(target):
    target["call"]("socket", 40, 1, 0)
