"""A run makes no POSIX message queue.

danger: meet another run
control: ok
rlimits: EMFILE
landlock: EACCES
seccomp: EPERM
all: EPERM
"""

import ctypes
import os


def attack(target):
    name = ctypes.c_char_p(b"pyexec-%d" % os.getpid())
    target["call"]("mq_open", name, os.O_CREAT | os.O_RDWR, 0o600, None)
    target["call"]("mq_unlink", name)
