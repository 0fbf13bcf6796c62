"""A run changes no time of a host file.

danger: read or write the host's files
control: ok
namespaces: ENOENT
seccomp: EPERM
without identity@container-root: EPERM
without namespaces@root: ok
all: ENOENT
all@container-root: ok
all@container-user: EPERM
contained: in a container only the times of files that everybody may write, to the present time; any other needs their owner
"""

import errno
import os
import time


def attack(target):
    before = os.stat(target["secret"]).st_ctime_ns
    time.sleep(0.02)  # the kernel's clock for files is a coarse one
    os.utime(target["secret"])
    if os.stat(target["secret"]).st_ctime_ns == before:
        raise PermissionError(errno.EPERM, "the kernel said that it was done, and did nothing")
