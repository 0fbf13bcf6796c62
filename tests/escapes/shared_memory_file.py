"""A run opens no shared memory of the host.

danger: meet another run
control: ok
namespaces: ENOENT
landlock: EACCES
all: ENOENT
all@container: EACCES
"""

import os


def attack(target):
    os.close(os.open(target["shared_memory"], os.O_RDWR))
