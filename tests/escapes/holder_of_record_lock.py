"""A run learns no pid of another that holds a lock.

danger: see, signal, trace or debug other processes
control: ok
seccomp: EPERM
namespaces: EPERM
all: EPERM
bare: EPERM
"""

import errno
import fcntl
import os
import struct

LOCK = "hhqqi4x"


def attack(target):
    # Somebody outside holds a lock on it for writing.
    whole = struct.pack(LOCK, fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
    found = fcntl.fcntl(os.open(target["installed"], os.O_RDONLY), fcntl.F_GETLK, whole)
    pid = struct.unpack(LOCK, found)[4]
    if pid in (0, os.getpid()):
        raise PermissionError(errno.EPERM, "the kernel names no process")
