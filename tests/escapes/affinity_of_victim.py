"""A run moves no other process between processors.

danger: see, signal, trace or debug other processes
control: ok
namespaces: ESRCH
identity: EPERM
identity@user: ok
seccomp: EPERM
all: EPERM
"""

import ctypes


def attack(target):
    mask = (ctypes.c_ulong * 16)(*[2**64 - 1] * 16)
    target["call"]("sched_setaffinity", target["victim"], 128, mask)
