"""A run signals no other process by i386's system call entry.

danger: see, signal, trace or debug other processes
machine: x86_64
control: ok
absent: SIGSEGV
namespaces: ESRCH
identity@root: EPERM
landlock from ABI 6: EPERM
seccomp: SIGSYS
all: SIGSYS
"""

import native


def attack(target):
    native.i386(37, target["victim"], 0)
