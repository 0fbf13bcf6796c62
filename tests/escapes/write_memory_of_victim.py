"""A run writes to no other process's memory.

danger: see, signal, trace or debug other processes
control: EFAULT
namespaces: ESRCH
identity: EPERM
identity@user: EFAULT
landlock: EPERM
seccomp: EPERM
all: EPERM
"""

import ctypes


def attack(target):
    ours = (ctypes.c_size_t * 2)(ctypes.addressof(ctypes.create_string_buffer(8)), 8)
    theirs = (ctypes.c_size_t * 2)(8, 8)
    target["call"]("process_vm_writev", target["victim"], ours, 1, theirs, 1, 0)
