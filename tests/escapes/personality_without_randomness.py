"""A run does not switch off the randomness of addresses.

danger: attack the kernel
control: ok
control@container: ENOSYS
seccomp: EPERM
all: EPERM
"""


def attack(target):
    target["call"]("personality", 0x0040000)
