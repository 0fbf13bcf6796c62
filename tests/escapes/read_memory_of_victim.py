"""A run reads no other process's memory.

danger: see, signal, trace or debug other processes
control: EFAULT
namespaces: ESRCH
identity@root: EPERM
landlock: EPERM
seccomp: EPERM
all: EPERM
"""

import ctypes


def attack(target):
    local = ctypes.create_string_buffer(8)
    ours = (ctypes.c_size_t * 2)(ctypes.addressof(local), 8)
    theirs = (ctypes.c_size_t * 2)(8, 8)
    target["call"]("process_vm_readv", target["victim"], ours, 1, theirs, 1, 0)
