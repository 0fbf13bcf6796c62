"""A run reads nothing of the kernel from /proc.

danger: read or write the host's files
control: ok
namespaces: ENOENT
landlock: EACCES
all: ENOENT
all@container: EACCES
"""

import os


def attack(target):
    os.close(os.open("/proc/version", os.O_RDONLY))
