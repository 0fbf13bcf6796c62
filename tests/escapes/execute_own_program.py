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
    with open("program", "w") as file:
        file.write("#!/bin/sh\necho ok\n")
    os.close(os.open("program", os.O_RDONLY))
    os.chmod("program", 0o755)
    os.dup2(target["word_fd"], 1)
    os.execv("program", ["program"])
