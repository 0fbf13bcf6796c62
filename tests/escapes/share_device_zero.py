"""A run maps no /dev/zero, which shared is memory that no limit counts.

danger: exhaust memory, CPU, disk or descriptors
control: ok
namespaces: ENOENT
landlock: EACCES
all: ENOENT
all@container: EACCES
"""

import mmap
import os


def attack(target):
    mmap.mmap(os.open("/dev/zero", os.O_RDWR), 1 << 20, mmap.MAP_SHARED).close()
