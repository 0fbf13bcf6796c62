"""A run learns no extended attribute of a file of the host.

danger: read or write the host's files
control: ok
namespaces: ENOENT
seccomp: ENOTSUP
all: ENOTSUP
admin: ENOENT
admin@container: ENOTSUP
"""

import os


def attack(target):
    os.listxattr(target["secret"])
