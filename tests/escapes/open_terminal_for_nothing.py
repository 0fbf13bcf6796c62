"""A run opens no terminal for neither reading nor writing, of which Landlock takes no notice.

danger: gain privilege
control: ok
namespaces: ENOENT
seccomp: EPERM
all: EPERM
"""

import os


def attack(target):
    os.close(os.open("/dev/ptmx", os.O_ACCMODE | os.O_NOCTTY))
