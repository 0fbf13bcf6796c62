"""A public run executes no program.

danger: start programs
control: ok
landlock: EACCES
seccomp: EPERM
all: EPERM
admin: ok
contained: only programs of the system's read-only directories, behind the same layers
"""

import os


def attack(target):
    os.dup2(target["word_fd"], 1)
    os.execv("/bin/echo", ["echo", "ok"])
