"""A run replaces no file outside by one of its own.

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
    open("own", "w").close()
    os.rename("own", os.path.join(target["removable"], os.listdir(target["removable"])[0]))
