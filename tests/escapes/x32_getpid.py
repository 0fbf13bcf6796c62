"""A run makes no system call by x32's numbers. Most kernels lack them; the filter answers before that is known.

danger: attack the kernel
machine: x86_64
control: ok
absent: ENOSYS
seccomp: EPERM
all: EPERM
"""

import native


def attack(target):
    native.x32(39)
