"""A run writes to no memory through /proc.

danger: see, signal, trace or debug other processes
control: ok
namespaces: ENOENT
identity: EACCES
landlock: EACCES
all: ENOENT
all@container: EACCES
"""

import os


def attack(target):
    os.close(os.open("/proc/self/mem", os.O_RDWR))
