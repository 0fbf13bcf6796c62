"""A run makes no process outside the owner of a descriptor, which would have the kernel send it any signal.

danger: see, signal, trace or debug other processes
control: ok
namespaces: ESRCH
seccomp: EPERM
all: EPERM
"""

import fcntl
import os


def attack(target):
    receive, send = os.pipe()
    fcntl.fcntl(receive, fcntl.F_SETOWN, target["victim"])
