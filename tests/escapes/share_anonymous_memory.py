"""A run makes no memory that is shared and belongs to no file.

danger: exhaust memory, CPU, disk or descriptors
control: ok
seccomp: EPERM
all: EPERM
why: what mremap cuts off such a mapping stays, and RLIMIT_AS no longer counts it
"""

import mmap


def attack(target):
    shared, anonymous = 0x01, 0x20
    mmap.mmap(-1, 1 << 20, shared | anonymous).close()
