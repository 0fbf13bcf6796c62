"""A run makes no netlink socket for routes.

danger: reach a network
control: ok
seccomp: EPERM
all: EPERM
"""


def attack(target):
    target["call"]("socket", 16, 3, 0)
