"""A run changes no time of a host file.

danger: read or write the host's files
control: ok
namespaces: ENOENT
seccomp: EPERM
all: EPERM
admin: ENOENT
admin@container-root: ok
admin@container-user: EPERM
contained: in a container only the times of files that everybody may write
"""

import os


def attack(target):
    os.utime(target["secret"])
