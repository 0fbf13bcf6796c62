"""A run changes no mode of an installed file by a link of its own.

danger: read or write the host's files
control: ok
namespaces: EROFS
identity: EPERM
identity@user: ok
seccomp: EPERM
all: EROFS
all@container: EPERM
why: Landlock looks at no mode
"""

import errno
import os


def attack(target):
    name = "link-%d" % os.getpid()
    os.symlink(target["installed"], name)
    mode = os.stat(name).st_mode & 0o7777
    os.chmod(name, mode ^ 0o1000)
    changed = os.stat(name).st_mode & 0o7777 != mode
    os.chmod(name, mode)
    if not changed:
        raise PermissionError(errno.EPERM, "the kernel said that it was done, and did nothing")
