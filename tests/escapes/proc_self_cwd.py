"""A run finds no way through /proc to its own directory's parent.

danger: read or write the host's files
control: ok
namespaces: ENOENT
landlock: EACCES
all: ENOENT
all@container: EACCES
"""

import os


def attack(target):
    os.close(os.open("/proc/self/cwd/../../..", os.O_RDONLY))
