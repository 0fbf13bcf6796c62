"""A run interrupts no other processor.

danger: attack the kernel
control: ok
seccomp: EPERM
all: EPERM
"""


def attack(target):
    target["call"]("membarrier", 0, 0, 0)
