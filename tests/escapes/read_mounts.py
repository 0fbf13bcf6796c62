"""A run does not learn what is mounted.

danger: read or write the host's files
control: ok
namespaces: ENOENT
landlock: EACCES
all: ENOENT
all@container: EACCES
"""

import os


def attack(target):
    os.close(os.open("/proc/self/mountinfo", os.O_RDONLY))
