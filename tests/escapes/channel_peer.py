"""A run asks a socket that it has for nothing but bytes, no descriptor of the process at the other end.

danger: see, signal, trace or debug other processes
control: ok
seccomp: EPERM
all: EPERM
why: a child's descriptor 3 is the server's channel
"""

import socket

SO_PEERPIDFD = 77


def attack(target):
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    near.getsockopt(socket.SOL_SOCKET, SO_PEERPIDFD)
