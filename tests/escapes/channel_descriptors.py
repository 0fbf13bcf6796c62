"""A run sends no descriptor by a socket that it has.

danger: see, signal, trace or debug other processes
control: ok
seccomp: EPERM
all: EPERM
why: a child's descriptor 3 is the server's channel, and what is sent fills the server's table
"""

import array
import socket


def attack(target):
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    near.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [1]))])
