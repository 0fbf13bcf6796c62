"""A run changes no time of an installed file that it has open for reading.

danger: read or write the host's files
control: ok
namespaces: EROFS
identity: EPERM
identity@user: ok
seccomp: EPERM
all: EROFS
all@container: EPERM
why: Python takes a cached module for current by the time of its source
"""

import errno
import os
import time


def attack(target):
    path = target["installed"]
    fd = os.open(path, os.O_RDONLY)
    before = os.fstat(fd)
    time.sleep(0.02)  # the kernel's clock for files is a coarse one
    os.utime(fd, ns=(before.st_atime_ns, before.st_mtime_ns))
    if os.fstat(fd).st_ctime_ns == before.st_ctime_ns:
        raise PermissionError(errno.EPERM, "the kernel said that it was done, and did nothing")
