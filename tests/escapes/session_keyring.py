"""A run joins no keyring.

danger: meet another run
control: ok
seccomp: EPERM
all: EPERM
"""


def attack(target):
    target["call"]("keyctl", 1, None)
