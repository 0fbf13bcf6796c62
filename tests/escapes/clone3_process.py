"""A run starts no process by clone3, whose flags a filter can't see.

danger: outlive the run or bomb with processes
control: ok
control@container: ENOSYS
seccomp: ENOSYS
without seccomp@container: ENOSYS
all: ENOSYS
"""

import ctypes
import os


def attack(target):
    arguments = (ctypes.c_uint64 * 11)(0, 0, 0, 0, 17)
    pid = target["call"]("clone3", arguments, 88)
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
