"""A run joins no namespace, not even its own.

danger: gain privilege
control: ok
control@user: EPERM
control@container: EPERM
namespaces: ENOENT
identity: EPERM
seccomp: EPERM
all: ENOENT
all@container: EPERM
"""

import os


def attack(target):
    target["call"]("setns", os.open("/proc/self/ns/uts", os.O_RDONLY), 0)
