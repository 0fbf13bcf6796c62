"""A run reads not even its own environment from /proc.

danger: read or write the host's files
control: ok
namespaces: ENOENT
identity: EACCES
landlock: EACCES
all: ENOENT
all@container: EACCES
"""

import os


def attack(target):
    os.close(os.open("/proc/self/environ", os.O_RDONLY))
