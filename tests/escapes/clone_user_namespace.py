"""A run makes no user namespace by clone.

danger: gain privilege
control: ok
control@container: ENOSYS
seccomp: EPERM
without seccomp@container: ENOSYS
all: EPERM
"""

import os


def attack(target):
    pid = target["call"]("clone", 0x10000000 | 17, 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
