"""A run executes nothing that it wrote itself, not even an admin's.

danger: start programs
control: ok
namespaces: EACCES
landlock: EACCES
seccomp: EPERM
all: EPERM
admin: EACCES
"""

import os


def attack(target):
    fd = os.open("program", os.O_WRONLY | os.O_CREAT, 0o755)
    os.write(fd, b"#!/bin/sh\necho ok\n")
    os.close(fd)
    os.dup2(target["word_fd"], 1)
    os.execv("program", ["program"])
