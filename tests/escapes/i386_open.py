"""A run reads no file of the host by i386's system call entry.

danger: read or write the host's files
machine: x86_64
control: ok
absent: SIGSEGV
namespaces: ENOENT
landlock: EACCES
seccomp: SIGSYS
all: SIGSYS
"""

import native


def attack(target):
    native.i386(5, native.low_memory(target["secret"].encode() + b"\0"), 0)
