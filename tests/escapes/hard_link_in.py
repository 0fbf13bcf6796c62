"""A run makes no hard link to a file of the host.

danger: read or write the host's files
control: ok
namespaces: ENOENT
landlock: EXDEV
seccomp: EPERM
all: ENOENT
all@container: EPERM
admin: ENOENT
admin@container: EXDEV
without namespaces: EPERM
"""

import os


def attack(target):
    os.link(target["secret"], "link-%d" % os.getpid())
