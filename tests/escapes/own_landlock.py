"""A run makes no Landlock ruleset.

danger: attack the kernel
control: ok
absent: ENOTSUP
seccomp: EPERM
all: EPERM
"""


def attack(target):
    target["call"]("landlock_create_ruleset", None, 0, 1)
