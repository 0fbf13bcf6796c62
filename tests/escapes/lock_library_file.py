"""A run locks no file that others read, in the way that one can wait for.

danger: meet another run
control: ok
seccomp: ENOSYS
all: ENOSYS
"""

import fcntl
import os


def attack(target):
    import json

    fcntl.flock(os.open(json.__file__, os.O_RDONLY), fcntl.LOCK_SH)
