"""A run makes no symbolic link outside.

danger: read or write the host's files
control: ok
namespaces: ENOENT
landlock: EACCES
all: ENOENT
all@container: EACCES
"""

import os


def attack(target):
    os.symlink("x", target["open_directory"] + "/link-%d" % os.getpid())
