"""A run takes no more memory than its budget.

danger: exhaust memory, CPU, disk or descriptors
control: ok
rlimits: ENOMEM
all: ENOMEM
"""

import mmap


def attack(target):
    private, anonymous, noreserve = 0x02, 0x20, 0x4000
    mmap.mmap(-1, 4 << 30, private | anonymous | noreserve).close()
