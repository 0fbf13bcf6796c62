"""A run finds no way to the host's root through /proc.

danger: read or write the host's files
control: ok
namespaces: ENOENT
landlock: EACCES
all: ENOENT
all@container: EACCES
"""

import os


def attack(target):
    os.close(os.open("/proc/self/root" + target["secret"], os.O_RDONLY))
