"""A run makes no directory outside.

danger: read or write the host's files
control: ok
namespaces: ENOENT
landlock: EACCES
all: ENOENT
all@container: EACCES
"""

import os


def attack(target):
    os.mkdir(target["open_directory"] + "/made-%d" % os.getpid())
