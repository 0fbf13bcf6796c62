"""A public run wakes nobody who waits on a futex in a file that others read.

danger: meet another run
control: ok
seccomp: EPERM
all: EPERM
admin: ok
contained: an admin's run can at most hint to another admin's run that it is here
"""

import json
import os

PROT_READ, MAP_SHARED, FUTEX_WAKE = 1, 1, 1


def attack(target):
    call = target["call"]
    page = call("mmap", None, 4096, PROT_READ, MAP_SHARED, os.open(json.__file__, os.O_RDONLY), 0)
    call("futex", page, FUTEX_WAKE, 1, None, None, 0)
