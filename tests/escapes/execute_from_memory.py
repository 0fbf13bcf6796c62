"""A run executes nothing from memory alone.

danger: start programs
control: ok
landlock: EACCES
seccomp: ENOSYS
all: ENOSYS
"""

import ctypes
import os


def attack(target):
    fd = target["call"]("memfd_create", ctypes.c_char_p(b"x"), 0)
    with open("/bin/echo", "rb") as file:
        os.write(fd, file.read())
    os.dup2(target["word_fd"], 1)
    words = (ctypes.c_char_p * 3)(b"echo", b"ok", None)
    target["call"]("execveat", fd, ctypes.c_char_p(b""), words, (ctypes.c_char_p * 1)(None), 0x1000)
