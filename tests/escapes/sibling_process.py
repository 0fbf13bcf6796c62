"""A run makes no process that is its parent's child.

danger: outlive the run or bomb with processes
control: ok
namespaces: EINVAL
seccomp: EPERM
all: EPERM
"""

import os


def attack(target):
    if target["call"]("clone", 0x8000 | 17, 0, 0, 0, 0) == 0:
        os._exit(0)
