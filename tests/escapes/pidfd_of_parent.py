"""A run gets no descriptor of its parent.

danger: see, signal, trace or debug other processes
control: ok
seccomp: EPERM
all: EPERM
"""

import os


def attack(target):
    target["call"]("pidfd_open", os.getppid() or 1, 0)
