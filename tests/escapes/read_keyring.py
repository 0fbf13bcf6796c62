"""A run looks into no keyring.

danger: meet another run
control: ok
seccomp: EPERM
all: EPERM
"""


def attack(target):
    target["call"]("keyctl", 0, -4, 1)
