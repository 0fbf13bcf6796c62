"""A run changes no limit of a process outside.

danger: see, signal, trace or debug other processes
control: ok
namespaces: ESRCH
identity@root: EPERM
seccomp: EPERM
all: EPERM
"""

import ctypes


def attack(target):
    limits = (ctypes.c_uint64 * 2)()
    target["call"]("prlimit64", target["victim"], 7, None, limits)
    target["call"]("prlimit64", target["victim"], 7, limits, None)
