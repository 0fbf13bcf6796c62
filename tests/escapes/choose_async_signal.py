"""A run does not choose which signal a descriptor sends.

danger: see, signal, trace or debug other processes
control: ok
seccomp: EPERM
all: EPERM
"""

import fcntl
import os


def attack(target):
    receive, _ = os.pipe()
    fcntl.fcntl(receive, 10, 9)
