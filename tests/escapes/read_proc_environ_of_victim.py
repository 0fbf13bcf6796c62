"""A run reads no other process's environment.

danger: learn secrets of the server
control: ok
namespaces: ENOENT
identity@root: EACCES
landlock: EACCES
all: ENOENT
all@container: EACCES
"""

import os


def attack(target):
    fd = os.open("/proc/%d/environ" % target["victim"], os.O_RDONLY)
    os.read(fd, 10)
    os.close(fd)
