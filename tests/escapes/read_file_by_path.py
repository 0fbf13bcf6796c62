"""A run reads no file of the host by its path.

danger: read or write the host's files
control: ok
namespaces: ENOENT
landlock: EACCES
all: ENOENT
all@container: EACCES
"""

import os


def attack(target):
    os.close(os.open(target["secret"], os.O_RDONLY))
