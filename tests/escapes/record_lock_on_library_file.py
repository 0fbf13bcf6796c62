"""A run puts no record lock on a file that others read, but one that keeps nobody from reading it.

danger: meet another run
control: ok
all: ok
contained: two runs that cooperate can signal each other by it, and it holds off whoever writes to the file outside by such locks
why: databases need record locks
"""

import fcntl
import json
import os


def attack(target):
    fcntl.lockf(os.open(json.__file__, os.O_RDONLY), fcntl.LOCK_SH | fcntl.LOCK_NB)
