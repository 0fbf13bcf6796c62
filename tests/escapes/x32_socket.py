"""A run gets no socket by x32's numbers. Most kernels lack them; the filter answers before that is known.

danger: reach a network
machine: x86_64
control: ok
absent: ENOSYS
seccomp: EPERM
all: EPERM
"""

import native


def attack(target):
    native.x32(41, 2, 1, 0)
