"""A run makes no pair of packet sockets.

danger: reach a network
control: ok
seccomp: EPERM
all: EPERM
why: event loops need a pair, and get one of streams, which no call can lead to an address; nothing needs packets
"""

import ctypes


def attack(target):
    packets = 5
    target["call"]("socketpair", 1, packets, 0, (ctypes.c_int * 2)())
