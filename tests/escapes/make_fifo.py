"""A run makes no FIFO that the server could be led to open.

danger: read or write the host's files
control: ok
landlock: EACCES
seccomp: EPERM
all: EPERM
"""

import os


def attack(target):
    os.mkfifo("fifo-%d" % os.getpid())
