"""A run leaves nothing in /dev/shm.

danger: meet another run
control: ok
namespaces: ENOENT
landlock: EACCES
all: ENOENT
all@container: EACCES
"""

import os


def attack(target):
    os.close(os.open("/dev/shm/pyexec-escape-%d" % os.getpid(), os.O_CREAT | os.O_RDWR))
