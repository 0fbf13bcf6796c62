"""A run reads nothing from /sys.

danger: read or write the host's files
control: ok
namespaces: ENOENT
landlock: EACCES
all: ENOENT
all@container: EACCES
"""

import os


def attack(target):
    os.close(os.open("/sys/kernel/mm/transparent_hugepage/enabled", os.O_RDONLY))
