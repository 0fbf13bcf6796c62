"""A run opens no terminal.

danger: gain privilege
control: ok
namespaces: ENOENT
landlock: EACCES
all: ENOENT
all@container: EACCES
"""

import os


def attack(target):
    os.close(os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY))
