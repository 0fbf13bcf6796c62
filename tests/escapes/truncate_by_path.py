"""A run truncates no file of the host by its path alone.

danger: read or write the host's files
control: ok
namespaces: ENOENT
landlock from ABI 3: EACCES
seccomp: EPERM
all: ENOENT
all@container: EPERM
all@container from ABI 3: EACCES
"""

import ctypes


def attack(target):
    target["call"]("truncate", ctypes.c_char_p(target["secret"].encode()), 19)
