"""A run reads no address in another process.

danger: see, signal, trace or debug other processes
control: ok
namespaces: ESRCH
identity: EPERM
identity@user: ok
landlock: EPERM
seccomp: EPERM
all: EPERM
"""

import ctypes


def attack(target):
    target["call"](
        "get_robust_list", target["victim"], ctypes.byref(ctypes.c_void_p()), ctypes.byref(ctypes.c_size_t())
    )
