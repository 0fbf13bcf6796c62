"""A run configures no file system (the way of CVE-2022-0185).

danger: attack the kernel
control: ok
control@user: EPERM
control@container: EPERM
namespaces@user: ok
identity: EPERM
seccomp: EPERM
all: EPERM
"""

import ctypes


def attack(target):
    target["call"]("fsopen", ctypes.c_char_p(b"tmpfs"), 0)
