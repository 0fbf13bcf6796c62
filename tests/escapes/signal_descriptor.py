"""A run makes no signal descriptor.

danger: attack the kernel
control: ok
seccomp: EPERM
all: EPERM
"""

import ctypes


def attack(target):
    target["call"]("signalfd4", -1, ctypes.byref(ctypes.c_uint64(0)), 8, 0)
