"""A run changes no mode of a host file.

danger: read or write the host's files
control: ok
namespaces: ENOENT
identity: EPERM
identity@user: ok
seccomp: EPERM
all: EPERM
admin: ENOENT
admin@container: EPERM
"""

import os


def attack(target):
    os.chmod(target["open_directory"], 0o777)
