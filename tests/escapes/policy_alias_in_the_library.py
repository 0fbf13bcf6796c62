"""The `os` that `random` has under another name starts no program.

danger: start programs
public: yes
control: ok
landlock: EACCES
seccomp: EPERM
all: EPERM
admin: ok
contained: only programs of the system's read-only directories, behind the same layers
"""

import random

POLICY = True


def attack(target):
    random._os.dup2(target["word_fd"], 1)
    random._os.execv("/bin/echo", ["echo", "ok"])
