"""A run queues no signal to another process.

danger: see, signal, trace or debug other processes
control: ok
namespaces: ESRCH
identity: EPERM
identity@user: ok
landlock from ABI 6: EPERM
seccomp: EPERM
all: EPERM
"""

import ctypes


def attack(target):
    info = (ctypes.c_int * 32)(0, 0, -1)
    target["call"]("rt_sigqueueinfo", target["victim"], 0, info)
