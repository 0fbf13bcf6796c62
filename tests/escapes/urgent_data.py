"""A run sends no urgent data, not even through a pair of its own.

danger: attack the kernel
control: ok
seccomp: EPERM
all: EPERM
why: a way into the kernel from exactly such a filter, CVE-2025-38236
"""

import ctypes


def attack(target):
    out_of_band = 1
    pair = (ctypes.c_int * 2)()
    target["call"]("socketpair", 1, 1, 0, pair)
    target["call"]("sendto", pair[0], ctypes.c_char_p(b"!"), 1, out_of_band, None, 0)
