"""A run holds no more space than its budget in files that it has deleted, which nothing on a disk counts.

danger: exhaust memory, CPU, disk or descriptors
control: ok
namespaces: ENOSPC
seccomp: EPERM
admin: ENOSPC
admin@container: ok
all: ENOSPC
all@container: EPERM
without namespaces: EPERM
contained: where an admin's run may delete on a disk, the guard of its free space ends it
why: 24 files of 16 MiB, mapped and deleted, took 407 MiB of a budget of 64
"""

import mmap
import os


def attack(target):
    size, held = 16 << 20, []
    for place in range(target["budget"]["workdir_bytes"] // size + 1):
        with open("held-%d" % place, "w+b") as file:
            for _ in range(16):
                file.write(bytes(1 << 20))
            file.flush()
            held.append(mmap.mmap(file.fileno(), size))
        os.unlink("held-%d" % place)
