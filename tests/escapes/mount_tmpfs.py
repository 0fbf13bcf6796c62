"""A run mounts nothing.

danger: gain privilege
control: ok
control@user: EPERM
control@container: EPERM
namespaces@user: ok
identity: EPERM
landlock: EPERM
seccomp: EPERM
all: EPERM
"""

import ctypes
import os


def attack(target):
    kind, here = ctypes.c_char_p(b"tmpfs"), ctypes.c_char_p(os.fsencode(os.getcwd()))
    target["call"]("mount", kind, here, kind, 0, None)
    target["call"]("umount2", here, 2)
