"""A run removes no file outside.

danger: read or write the host's files
control: ok
namespaces: ENOENT
landlock: EACCES
seccomp: EPERM
all: ENOENT
all@container: EACCES
"""

import os


def attack(target):
    os.unlink(os.path.join(target["removable"], os.listdir(target["removable"])[0]))
