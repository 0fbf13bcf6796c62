"""A run changes no mode of an installed file by its name.

danger: read or write the host's files
control: ok
namespaces: EROFS
identity: EPERM
identity@user: ok
seccomp: EPERM
all: EROFS
all@container: EPERM
why: an executable that is made 04755 is anybody's way to its owner's rights
"""

import errno
import os


def attack(target):
    path = target["installed"]
    fd = os.open(path, os.O_RDONLY)
    mode = os.fstat(fd).st_mode & 0o7777
    os.chmod(path, mode ^ 0o1000)
    changed = os.fstat(fd).st_mode & 0o7777 != mode
    os.chmod(path, mode)
    if not changed:
        raise PermissionError(errno.EPERM, "the kernel said that it was done, and did nothing")
