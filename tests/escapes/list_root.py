"""A public run can't list the root directory.

danger: read or write the host's files
control: ok
landlock: EACCES
all: EACCES
"""

import os


def attack(target):
    os.listdir("/")
