"""A run pushes no keys into a terminal (CVE-2017-5226).

danger: gain privilege
control: ok
absent: EIO
namespaces: ENOENT
landlock: EACCES
seccomp: EPERM
all: ENOENT
all@container: EACCES
"""

import fcntl
import os


def attack(target):
    master, slave = os.openpty()
    fcntl.ioctl(slave, 0x540E, 0)
    fcntl.ioctl(slave, 0x5412, b"x")
