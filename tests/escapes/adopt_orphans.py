"""A run does not make itself the parent of orphans.

danger: outlive the run or bomb with processes
control: ok
seccomp: EPERM
all: EPERM
"""


def attack(target):
    target["call"]("prctl", 36, 1, 0, 0, 0)
