"""A run changes no mode of a host file.

danger: read or write the host's files
control: ok
namespaces: ENOENT
identity: EPERM
identity@user: ok
seccomp: EPERM
all: ENOENT
all@container: EPERM
"""

import errno
import os


def attack(target):
    path = target["open_directory"]
    os.chmod(path, 0o1777)
    if not os.stat(path).st_mode & 0o1000:
        raise PermissionError(errno.EPERM, "the kernel said that it was done, and did nothing")
    os.chmod(path, 0o777)
