"""A run makes no multipath TCP socket.

danger: reach a network
control: ok
absent: ENOPROTOOPT EPROTONOSUPPORT
seccomp: EPERM
all: EPERM
"""


def attack(target):
    target["call"]("socket", 2, 1, 262)
