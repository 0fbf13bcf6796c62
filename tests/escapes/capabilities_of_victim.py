"""A run learns by no question about capabilities that a process is there.

danger: see, signal, trace or debug other processes
control: ok
namespaces: ESRCH
seccomp: EPERM
all: EPERM
"""

import ctypes


def attack(target):
    version = 0x20080522
    header, data = (ctypes.c_uint32 * 2)(version, target["victim"]), (ctypes.c_uint32 * 6)()
    target["call"]("capget", header, data)
