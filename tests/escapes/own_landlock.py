"""A run makes no Landlock ruleset.

danger: attack the kernel
control: ok
seccomp: EPERM
all: EPERM
"""


def attack(target):
    target["call"]("landlock_create_ruleset", None, 0, 1)
