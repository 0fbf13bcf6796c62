"""A run sets up no io_uring, which would make sockets and open files past the system call filter.

danger: attack the kernel
control: ok
absent: EPERM
control@container: ENOSYS
rlimits@user: ENOMEM
rlimits@before-6.14: ok
seccomp: EPERM
rlimits@container: ENOSYS
without seccomp@container: ENOSYS
without seccomp: ENOMEM
without seccomp@before-6.14: ok
all: EPERM
"""

import ctypes


def attack(target):
    target["call"]("io_uring_setup", 1, ctypes.create_string_buffer(120))
