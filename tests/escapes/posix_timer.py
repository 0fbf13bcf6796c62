"""A run makes no timer that sends signals.

danger: attack the kernel
control: ok
seccomp: EPERM
all: EPERM
"""

import ctypes


def attack(target):
    target["call"]("timer_create", 1, None, ctypes.byref(ctypes.c_int()))
