"""A symbolic link in the run's own directory leads nowhere outside.

danger: read or write the host's files
control: ok
namespaces: ENOENT
landlock: EACCES
all: ENOENT
all@container: EACCES
"""

import os


def attack(target):
    os.symlink(target["secret"], "link")
    os.close(os.open("link", os.O_RDONLY))
