"""A public run makes no pair of connected sockets.

danger: reach a network
control: ok
seccomp: EPERM
all: EPERM
admin: ok
contained: event loops need it; both ends are the run's own, and no call can name an address
"""

import ctypes


def attack(target):
    target["call"]("socketpair", 1, 1, 0, (ctypes.c_int * 2)())
