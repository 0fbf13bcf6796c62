"""A run asks nothing of seccomp.

danger: attack the kernel
control: ok
seccomp: EPERM
all: EPERM
"""

import ctypes


def attack(target):
    target["call"]("seccomp", 2, 0, ctypes.byref(ctypes.c_uint32(0x7FFF0000)))
