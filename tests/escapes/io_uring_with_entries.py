"""A run sets up no io_uring of any size.

danger: attack the kernel
control: ok
absent: EPERM
control@container: ENOSYS
rlimits@user: ENOMEM
rlimits@before-6.14: ok
rlimits@container: ENOSYS
seccomp: EPERM
without seccomp: ENOMEM
without seccomp@before-6.14: ok
without seccomp@container: ENOSYS
all: EPERM
"""

import ctypes


def attack(target):
    target["call"]("io_uring_setup", 8, ctypes.create_string_buffer(120))
