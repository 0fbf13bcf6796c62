"""A run learns no connection of the host.

danger: reach a network
control: ok
namespaces: ENOENT
landlock: EACCES
all: ENOENT
all@container: EACCES
"""

import os


def attack(target):
    os.close(os.open("/proc/net/tcp", os.O_RDONLY))
