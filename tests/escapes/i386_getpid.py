"""A run makes no system call at all by i386's entry, not even a harmless one.

danger: attack the kernel
machine: x86_64
control: ok
absent: SIGSEGV
seccomp: SIGSYS
all: SIGSYS
"""

import native


def attack(target):
    native.i386(20)
