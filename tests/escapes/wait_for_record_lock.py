"""A run waits for no record lock on a file that others read.

danger: meet another run
control: ok
seccomp: EPERM
all: EPERM
"""

import fcntl
import json
import os
import struct


def attack(target):
    whole = struct.pack("hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
    fcntl.fcntl(os.open(json.__file__, os.O_RDONLY), fcntl.F_SETLKW, whole)
