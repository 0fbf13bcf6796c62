"""A run makes no netlink socket for kernel events.

danger: reach a network
control: ok
seccomp: EPERM
all: EPERM
"""


def attack(target):
    target["call"]("socket", 16, 2, 15)
