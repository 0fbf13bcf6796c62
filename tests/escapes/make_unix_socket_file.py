"""A run makes no socket file.

danger: read or write the host's files
control: ok
landlock: EACCES
seccomp: EPERM
all: EPERM
"""

import os


def attack(target):
    os.mknod("sock-%d" % os.getpid(), 0o140600)
