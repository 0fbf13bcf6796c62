"""A run moves no file out of its directory.

danger: read or write the host's files
control: ok
namespaces: ENOENT
landlock: EACCES
seccomp: EPERM
all: ENOENT
all@container: EPERM
admin: ENOENT
admin@container: EACCES
"""

import os


def attack(target):
    open("inside", "w").close()
    os.rename("inside", target["open_directory"] + "/moved-%d" % os.getpid())
