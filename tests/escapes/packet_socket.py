"""A run makes no packet socket.

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
    target["call"]("socket", 17, 3, 768)
