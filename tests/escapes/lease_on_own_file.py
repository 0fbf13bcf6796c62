"""A run takes no lease, which would stop others from opening a file.

danger: meet another run
control: ok
seccomp: EPERM
all: EPERM
"""

import fcntl
import os


def attack(target):
    fcntl.fcntl(os.open("leased", os.O_CREAT | os.O_RDONLY), fcntl.F_SETLEASE, fcntl.F_RDLCK)
