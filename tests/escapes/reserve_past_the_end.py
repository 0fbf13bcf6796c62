"""A run reserves no space of a disk past a file's end, which no limit of a file's size counts.

danger: exhaust memory, CPU, disk or descriptors
control: ok
namespaces: ENOSPC
rlimits@tmpfs: EFBIG
seccomp: EPERM
without seccomp@tmpfs: EFBIG
all: EPERM
why: of a deleted file nobody sees it: 3 GiB in one call
"""

import os


def attack(target):
    keep_size = 1
    fd = os.open("reserved", os.O_RDWR | os.O_CREAT)
    os.unlink("reserved")
    target["call"]("fallocate", fd, keep_size, 0, target["budget"]["workdir_bytes"] + (1 << 20))
