"""A run makes no IPC namespace, not even inside a user namespace of its own.

danger: gain privilege
control: ok
control@container: EPERM
seccomp: EPERM
all: EPERM
"""


def attack(target):
    target["call"]("unshare", 0x10000000 | 0x8000000)
