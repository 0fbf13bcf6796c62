"""A run makes no unnamed file, which no count of its directory would see.

danger: exhaust memory, CPU, disk or descriptors
control: ok
seccomp: EPERM
all: EPERM
"""

import os


def attack(target):
    os.close(os.open(".", os.O_WRONLY | os.O_TMPFILE, 0o600))
