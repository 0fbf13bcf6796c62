"""A run executes nothing by a descriptor.

danger: start programs
control: ok
landlock: EACCES
seccomp: EPERM
all: EACCES
admin: EPERM
"""

import ctypes
import os


def attack(target):
    fd = os.open("/bin/echo", os.O_RDONLY)
    os.dup2(target["word_fd"], 1)
    words = (ctypes.c_char_p * 3)(b"echo", b"ok", None)
    target["call"]("execveat", fd, ctypes.c_char_p(b""), words, (ctypes.c_char_p * 1)(None), 0x1000)
