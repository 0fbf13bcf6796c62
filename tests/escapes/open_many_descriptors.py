"""A run uses up no table of open files.

danger: exhaust memory, CPU, disk or descriptors
control: ok
rlimits: EMFILE
all: EMFILE
"""

import os


def attack(target):
    for _ in range(300):
        os.dup(0)
