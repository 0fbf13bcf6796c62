"""A run makes no file of a terabyte, sparse or not.

danger: exhaust memory, CPU, disk or descriptors
control: ok
rlimits: EFBIG
all: EFBIG
"""

import os


def attack(target):
    fd = os.open("huge", os.O_WRONLY | os.O_CREAT)
    os.ftruncate(fd, 1 << 40)
