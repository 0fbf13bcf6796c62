"""A run reads nothing of process 1.

danger: read or write the host's files
control: ok
namespaces: ENOENT
landlock: EACCES
all: ENOENT
all@container: EACCES
"""

import os


def attack(target):
    os.close(os.open("/proc/1/status", os.O_RDONLY))
