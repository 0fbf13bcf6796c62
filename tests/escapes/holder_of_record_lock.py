"""A run learns no pid of another that holds a lock.

danger: see, signal, trace or debug other processes
control: ok
seccomp: EPERM
without namespaces: EPERM
all: ok
all@container: EPERM
bare: EPERM
contained: its pid namespace has no process but the run's own
"""

import fcntl
import json
import os
import struct


def attack(target):
    whole = struct.pack("hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
    fcntl.fcntl(os.open(json.__file__, os.O_RDONLY), fcntl.F_GETLK, whole)
