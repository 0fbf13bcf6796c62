"""A run makes no Unix packet socket.

danger: reach a network
control: ok
seccomp: EPERM
all: EPERM
"""


def attack(target):
    target["call"]("socket", 1, 5, 0)
