"""The newer openat2 opens no more than openat.

danger: read or write the host's files
control: ok
namespaces: ENOENT
landlock: EACCES
seccomp: ENOSYS
all: ENOSYS
"""

import ctypes
import os


def attack(target):
    how = (ctypes.c_uint64 * 3)(os.O_RDONLY, 0, 0)
    path = ctypes.c_char_p(target["secret"].encode())
    os.close(target["call"]("openat2", -100, path, ctypes.byref(how), 24))
