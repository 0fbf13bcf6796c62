"""A run makes no raw socket.

danger: reach a network
control: ok
control@user: EPERM
control@container: EPERM
namespaces@user: ok
identity: EPERM
seccomp: EPERM
all: EPERM
"""


def attack(target):
    target["call"]("socket", 2, 3, 1)
