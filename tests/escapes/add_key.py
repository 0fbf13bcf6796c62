"""A run leaves no key in the kernel.

danger: meet another run
control: ok
control@container: ENOSYS
seccomp: EPERM
all: EPERM
"""

import ctypes


def attack(target):
    target["call"]("add_key", ctypes.c_char_p(b"user"), ctypes.c_char_p(b"x"), ctypes.c_char_p(b"y"), 1, -3)
