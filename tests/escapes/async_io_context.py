"""A run makes no context for asynchronous input and output.

danger: attack the kernel
control: ok
seccomp: EPERM
all: EPERM
"""

import ctypes


def attack(target):
    target["call"]("io_setup", 1, ctypes.byref(ctypes.c_ulong()))
