"""A run makes no Unix datagram socket.

danger: reach a network
control: ok
seccomp: EPERM
all: EPERM
"""


def attack(target):
    target["call"]("socket", 1, 2, 0)
