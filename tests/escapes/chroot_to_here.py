"""A run does not change its root.

danger: gain privilege
control: ok
control@user: EPERM
namespaces@user: ok
identity: EPERM
seccomp: EPERM
all: EPERM
"""

import ctypes


def attack(target):
    target["call"]("chroot", ctypes.c_char_p(b"."))
