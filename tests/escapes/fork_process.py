"""A public run starts no process.

danger: outlive the run or bomb with processes
control: ok
seccomp: EPERM
all: EPERM
admin: ok
contained: at most as many as the budget says, all killed with the run
"""

import os


def attack(target):
    pid = target["call"]("clone", 17, 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
