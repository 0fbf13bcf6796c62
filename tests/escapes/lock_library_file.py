"""A public run locks no file that others read.

danger: meet another run
control: ok
seccomp: EPERM
all: EPERM
admin: ok
contained: an admin's run can at most hint to another admin's run that it was here
"""

import fcntl
import os


def attack(target):
    import json

    fcntl.flock(os.open(json.__file__, os.O_RDONLY), fcntl.LOCK_SH)
