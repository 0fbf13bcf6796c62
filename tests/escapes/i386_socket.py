"""A run gets no socket by i386's system call entry.

danger: reach a network
machine: x86_64
control: ok
absent: SIGSEGV
seccomp: SIGSYS
all: SIGSYS
"""

import native


def attack(target):
    native.i386(359, 2, 1, 0)
