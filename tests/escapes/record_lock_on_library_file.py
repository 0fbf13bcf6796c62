"""A public run puts no record lock on a file that others read.

danger: meet another run
control: ok
seccomp: EPERM
all: EPERM
admin: ok
contained: an admin's run can at most hint to another admin's run that it was here
"""

import fcntl
import json
import os


def attack(target):
    fcntl.lockf(os.open(json.__file__, os.O_RDONLY), fcntl.LOCK_SH | fcntl.LOCK_NB)
