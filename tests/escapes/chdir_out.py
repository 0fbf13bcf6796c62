"""A run does not change into a directory of the host.

danger: read or write the host's files
control: ok
namespaces: ENOENT
landlock: EACCES
all: ENOENT
all@container: EACCES
"""

import os


def attack(target):
    os.chdir(target["directory"])
    os.close(os.open("secret.txt", os.O_RDONLY))
