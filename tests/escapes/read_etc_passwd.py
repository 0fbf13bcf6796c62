"""A run reads no file of the system's configuration.

danger: read or write the host's files
control: ok
namespaces: ENOENT
landlock: EACCES
all: ENOENT
all@container: EACCES
"""

import os


def attack(target):
    os.close(os.open("/etc/passwd", os.O_RDONLY))
