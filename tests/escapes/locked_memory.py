"""A run locks no memory.

danger: exhaust memory, CPU, disk or descriptors
control: ok
rlimits@user: EPERM
rlimits@container: EPERM
seccomp: EPERM
without seccomp: EPERM
all: EPERM
"""

import ctypes


def attack(target):
    target["call"]("mlock", ctypes.create_string_buffer(4096), 4096)
