"""A run receives no descriptor by a socket that it has.

danger: see, signal, trace or debug other processes
control: ok
seccomp: EPERM
all: EPERM
"""

import socket


def attack(target):
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    far.send(b"x")
    near.recvmsg(1, 100)
