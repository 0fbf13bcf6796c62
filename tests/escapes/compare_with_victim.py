"""A run compares itself with no other process.

danger: see, signal, trace or debug other processes
control: ok
control@container: EPERM
namespaces: ESRCH
identity: EPERM
identity@user: ok
identity@container: EPERM
landlock: EPERM
seccomp: EPERM
all: EPERM
"""

import os


def attack(target):
    target["call"]("kcmp", os.getpid(), target["victim"], 1, 0, 0)
