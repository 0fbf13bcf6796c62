"""A run leaves neither its session nor its group, so that one signal reaches all of it.

danger: outlive the run or bomb with processes
control: ok
seccomp: EPERM
all: EPERM
"""

import os


def attack(target):
    pid = target["call"]("clone", 17, 0, 0, 0, 0)
    if pid == 0:
        try:
            target["call"]("setsid")
        except OSError as error:
            os._exit(error.errno)
        os._exit(0)
    refused = os.WEXITSTATUS(os.waitpid(pid, 0)[1])
    if refused:
        raise OSError(refused, "setsid")
