"""A run does not climb out of its directory.

danger: read or write the host's files
control: ok
namespaces: ENOENT
landlock: EACCES
all: ENOENT
all@container: EACCES
"""

import os


def attack(target):
    os.close(os.open("../../../../.." + target["secret"], os.O_RDONLY))
