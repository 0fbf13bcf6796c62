"""A run makes no IPv6 socket.

danger: reach a network
control: ok
seccomp: EPERM
all: EPERM
"""


def attack(target):
    target["call"]("socket", 10, 1, 0)
