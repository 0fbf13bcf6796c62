"""A run makes no file in memory beside those it was given.

danger: exhaust memory, CPU, disk or descriptors
control: ok
seccomp: ENOSYS
all: ENOSYS
"""

import ctypes


def attack(target):
    target["call"]("memfd_create", ctypes.c_char_p(b"x"), 0)
